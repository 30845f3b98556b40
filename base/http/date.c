#include "base/http/date.h"

#define DAY_S 86400

static const char months[12][4] = {"jan", "feb", "mar", "apr", "may", "jun",
                                   "jul", "aug", "sep", "oct", "nov", "dec"};
static const char days[7][10] = {"sunday",   "monday", "tuesday", "wednesday",
                                 "thursday", "friday", "saturday"};

/* Days from 1970-01-01 to a date of the proleptic Gregorian calendar, year >= 0. Years begin
 * in March here, so that the leap day is the last one. */
static int64_t days_from_date(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

void http_date_of_day(int64_t day_no, int *out_year, int *out_month, int *out_day)
{
    int64_t n = day_no + 719468;
    int64_t era = (n >= 0 ? n : n - 146096) / 146097;
    int64_t of_era = n - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153; /* 0 is March */
    *out_day = (int)(of_year - (153 * month + 2) / 5 + 1);
    *out_month = (int)(month < 10 ? month + 3 : month - 9);
    *out_year = (int)(year + era * 400 + (*out_month <= 2));
}

struct reader {
    struct span rest;
    bool bad; /* sticks */
};

static bool take_text(struct reader *r, struct span text)
{
    if (r->rest.len < text.len || !span_starts_nocase(r->rest, text))
        return false;
    r->rest = span_from(r->rest, text.len);
    return true;
}

static void need_text(struct reader *r, struct span text)
{
    if (!take_text(r, text))
        r->bad = true;
}

static int need_digits(struct reader *r, size_t count)
{
    int value = 0;
    if (r->rest.len < count) {
        r->bad = true;
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        char c = r->rest.ptr[i];
        if (c < '0' || c > '9')
            r->bad = true;
        else
            value = value * 10 + (c - '0');
    }
    r->rest = span_from(r->rest, count);
    return value;
}

static int need_month(struct reader *r)
{
    for (int i = 0; i < 12; i++) {
        if (take_text(r, span_of(months[i], 3)))
            return i + 1;
    }
    r->bad = true;
    return 1;
}

struct moment {
    int64_t year;
    int month, day, hour, minute, second;
};

static void need_time(struct reader *r, struct moment *m)
{
    m->hour = need_digits(r, 2);
    need_text(r, SPAN(":"));
    m->minute = need_digits(r, 2);
    need_text(r, SPAN(":"));
    m->second = need_digits(r, 2);
}

static int64_t year_of(int64_t at_s)
{
    int year, month, day;
    int64_t limit = INT64_C(1) << 40; /* 36,000 years: no overflow below */
    at_s = at_s > limit ? limit : at_s < -limit ? -limit : at_s;
    http_date_of_day((at_s >= 0 ? at_s : at_s - DAY_S + 1) / DAY_S, &year, &month, &day);
    return year;
}

/* The latest year with these two digits that is at most 50 years ahead. */
static int64_t widen_year(int two_digits, int64_t now_s)
{
    int64_t latest = year_of(now_s) + 50;
    int64_t back = (latest - two_digits) % 100;
    return latest - (back >= 0 ? back : back + 100);
}

/* After the day's name: " 06 Nov 1994 08:49:37 GMT" */
static void read_fixdate(struct reader *r, struct moment *m)
{
    need_text(r, SPAN(" "));
    m->day = need_digits(r, 2);
    need_text(r, SPAN(" "));
    m->month = need_month(r);
    need_text(r, SPAN(" "));
    m->year = need_digits(r, 4);
    need_text(r, SPAN(" "));
    need_time(r, m);
    need_text(r, SPAN(" GMT"));
}

/* After "Sunday,": " 06-Nov-94 08:49:37 GMT" */
static void read_rfc850(struct reader *r, struct moment *m, int64_t now_s)
{
    need_text(r, SPAN(" "));
    m->day = need_digits(r, 2);
    need_text(r, SPAN("-"));
    m->month = need_month(r);
    need_text(r, SPAN("-"));
    m->year = widen_year(need_digits(r, 2), now_s);
    need_text(r, SPAN(" "));
    need_time(r, m);
    need_text(r, SPAN(" GMT"));
}

/* After "Sun": " Nov  6 08:49:37 1994" */
static void read_asctime(struct reader *r, struct moment *m)
{
    need_text(r, SPAN(" "));
    m->month = need_month(r);
    need_text(r, SPAN(" "));
    m->day = take_text(r, SPAN(" ")) ? need_digits(r, 1) : need_digits(r, 2);
    need_text(r, SPAN(" "));
    need_time(r, m);
    need_text(r, SPAN(" "));
    m->year = need_digits(r, 4);
}

static bool is_real(const struct moment *m)
{
    static const int lengths[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = m->year % 4 == 0 && (m->year % 100 != 0 || m->year % 400 == 0);
    int length = lengths[m->month - 1] + (m->month == 2 && leap);
    /* 60 is a leap second (RFC 9110 5.6.7) */
    return m->day >= 1 && m->day <= length && m->hour <= 23 && m->minute <= 59 &&
           m->second <= 60;
}

enum err http_date_parse(struct span text, int64_t now_s, int64_t *out_at_s)
{
    struct reader r = {text, false};
    struct moment m = {0};
    int day = -1;
    bool whole = false;
    for (int i = 0; i < 7 && day < 0; i++) {
        struct span name = span_text(days[i]);
        whole = take_text(&r, name);
        if (whole || take_text(&r, span_until(name, 3)))
            day = i;
    }
    if (day < 0)
        return ERR_SYNTAX;
    bool comma = take_text(&r, SPAN(","));
    if (comma && whole)
        read_rfc850(&r, &m, now_s);
    else if (comma)
        read_fixdate(&r, &m);
    else if (!whole)
        read_asctime(&r, &m);
    else
        return ERR_SYNTAX;
    if (r.bad || r.rest.len > 0 || !is_real(&m))
        return ERR_SYNTAX;
    *out_at_s = days_from_date(m.year, m.month, m.day) * DAY_S + m.hour * INT64_C(3600) +
                m.minute * INT64_C(60) + m.second;
    return ERR_OK;
}

static char *print_digits(char *to, int value, int count)
{
    for (int i = count - 1; i >= 0; i--, value /= 10)
        to[i] = (char)('0' + value % 10);
    return to + count;
}

static char *print_name(char *to, const char *name, char after)
{
    to[0] = (char)(name[0] - 'a' + 'A');
    to[1] = name[1];
    to[2] = name[2];
    to[3] = after;
    return to + 4;
}

void http_date_print(int64_t at_s, char out[HTTP_DATE_BYTES])
{
    /* Four digits of year are all there is. */
    const int64_t first_s = INT64_C(-62167219200), last_s = INT64_C(253402300799);
    at_s = at_s < first_s ? first_s : at_s > last_s ? last_s : at_s;
    int64_t day_no = (at_s >= 0 ? at_s : at_s - DAY_S + 1) / DAY_S;
    int second = (int)(at_s - day_no * DAY_S);
    int year, month, day;
    http_date_of_day(day_no, &year, &month, &day);
    int64_t weekday = (day_no + 4) % 7; /* 1970-01-01 was a Thursday */
    char *to = print_name(out, days[weekday >= 0 ? weekday : weekday + 7], ',');
    *to++ = ' ';
    to = print_digits(to, day, 2);
    *to++ = ' ';
    to = print_name(to, months[month - 1], ' ');
    to = print_digits(to, year, 4);
    *to++ = ' ';
    to = print_digits(to, second / 3600, 2);
    *to++ = ':';
    to = print_digits(to, second / 60 % 60, 2);
    *to++ = ':';
    to = print_digits(to, second % 60, 2);
    to[0] = ' ';
    to[1] = 'G';
    to[2] = 'M';
    to[3] = 'T';
}
