#include "node/front/access_line.h"

#include "base/http/date.h"

#define TEXT_BYTES 2048  /* what a client sent, as written */
#define NAME_BYTES 512   /* what we call something, as written */
#define FIXED_BYTES 1024 /* keys, numbers, address, time */
_Static_assert(5 * TEXT_BYTES + 6 * NAME_BYTES + FIXED_BYTES <= FRONT_LOG_LINE_MAX,
               "a line always fits");

static inline char *put(char *to, struct span s)
{
    memcpy(to, s.ptr, s.len);
    return to + s.len;
}

static char *put_unsigned(char *to, uint64_t v)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    return put(to, span_of(digits + at, sizeof(digits) - at));
}

static char *put_padded(char *to, unsigned v, size_t width)
{
    for (size_t i = width; i-- > 0; v /= 10)
        to[i] = (char)('0' + v % 10);
    return to + width;
}

static char *put_duration(char *to, int64_t us)
{
    return us < 0 ? put(to, SPAN("null")) : put_unsigned(to, (uint64_t)us);
}

static char *put_hex(char *to, uint64_t v, unsigned digits)
{
    while (digits-- > 0)
        *to++ = "0123456789abcdef"[v >> 4 * digits & 15];
    return to;
}

/* 2026-01-02T03:04:05.678Z; times outside of 1970 to 9999 are taken as those ends. */
static char *put_time(char *to, int64_t at_ms)
{
    const int64_t last_ms = INT64_C(253402300799999);
    int year, month, day;
    at_ms = at_ms < 0 ? 0 : at_ms > last_ms ? last_ms : at_ms;
    unsigned of_day_ms = (unsigned)(at_ms % 86400000);
    http_date_of_day(at_ms / 86400000, &year, &month, &day);
    to = put_padded(to, (unsigned)year, 4);
    *to++ = '-';
    to = put_padded(to, (unsigned)month, 2);
    *to++ = '-';
    to = put_padded(to, (unsigned)day, 2);
    *to++ = 'T';
    to = put_padded(to, of_day_ms / 3600000, 2);
    *to++ = ':';
    to = put_padded(to, of_day_ms / 60000 % 60, 2);
    *to++ = ':';
    to = put_padded(to, of_day_ms / 1000 % 60, 2);
    *to++ = '.';
    to = put_padded(to, of_day_ms % 1000, 3);
    *to++ = 'Z';
    return to;
}

/* RFC 5952: the first longest run of two or more zero groups becomes "::". */
static char *put_v6(char *to, const uint8_t ip[16])
{
    unsigned groups[8], run_at = 8, run = 1;
    for (size_t i = 0; i < 8; i++)
        groups[i] = (unsigned)ip[2 * i] << 8 | ip[2 * i + 1];
    for (unsigned i = 0, len; i < 8; i += len + 1) {
        for (len = 0; i + len < 8 && groups[i + len] == 0; len++)
            ;
        if (len > run) {
            run = len;
            run_at = i;
        }
    }
    for (unsigned i = 0; i < 8;) {
        if (i == run_at) {
            to = put(to, SPAN("::"));
            i += run;
            continue;
        }
        unsigned digits = 4;
        while (digits > 1 && groups[i] >> 4 * (digits - 1) == 0)
            digits--;
        to = put_hex(to, groups[i], digits);
        if (++i < 8 && i != run_at)
            *to++ = ':';
    }
    return to;
}

static char *put_address(char *to, const struct addr *a)
{
    char text[ADDR_TEXT_MAX];
    if (a->family == ADDR_V4) {
        for (unsigned i = 0; i < 4; i++) {
            to = put_unsigned(to, a->ip[i]);
            *to++ = '.';
        }
        return to - 1;
    }
    if (a->family == ADDR_V6 && a->scope_id == 0)
        return put_v6(to, a->ip);
    return put(to, span_text(addr_print(a, false, text)));
}

/* Octets that stand for themselves in a JSON text. */
static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

#define EACH(c) (UINT64_C(0x0101010101010101) * (c))
#define HIGHS EACH(0x80)

/* Are eight octets plain? May say no of plain ones beside others. */
static bool are_plain(uint64_t eight)
{
    uint64_t quote = eight ^ EACH('"'), backslash = eight ^ EACH('\\');
    uint64_t odd = eight | (eight + EACH(1)); /* DEL and above */
    odd |= eight - EACH(0x20);
    odd |= (quote - EACH(1)) & ~quote;
    odd |= (backslash - EACH(1)) & ~backslash;
    return (odd & HIGHS) == 0;
}

/* How many plain octets stand at the front of `s`, at most `most`? */
static size_t plain_run(struct span s, size_t most)
{
    size_t run = 0, end = s.len < most ? s.len : most;
    uint64_t eight;
    for (; run + sizeof(eight) <= end; run += sizeof(eight)) {
        memcpy(&eight, s.ptr + run, sizeof(eight));
        if (!are_plain(eight))
            break;
    }
    while (run < end && is_plain((unsigned char)s.ptr[run]))
        run++;
    return run;
}

/* How many octets the character at `s` has, beyond ASCII; 0: no UTF-8 (Unicode, table 3-7). */
static size_t character_length(struct span s)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    unsigned char low = 0x80, high = 0xbf;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    size_t len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (p[0] == 0xe0)
        low = 0xa0; /* else it would have fitted into two */
    else if (p[0] == 0xed)
        high = 0x9f; /* else a half of UTF-16 */
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f; /* U+10FFFF is the last */
    if (s.len < len || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++) {
        if (p[i] < 0x80 || p[i] > 0xbf)
            return 0;
    }
    return len;
}

/* One character that is not plain, as it is to be written; returns how many octets of `s` it
 * was. Controls beyond ASCII (U+0080 to U+009F) are escaped too: terminals obey them. */
static size_t escape(struct span s, char out[6], size_t *out_len)
{
    unsigned char c = (unsigned char)s.ptr[0];
    size_t len = c < 0x80 ? 1 : character_length(s);
    if (c == '"' || c == '\\') {
        out[0] = '\\';
        out[1] = (char)c;
        *out_len = 2;
    } else if (c < 0x80 || (len == 2 && c == 0xc2 && (unsigned char)s.ptr[1] < 0xa0)) {
        (void)put_hex(put(out, SPAN("\\u00")), c < 0x80 ? c : (unsigned char)s.ptr[1], 2);
        *out_len = 6;
    } else if (len) {
        memcpy(out, s.ptr, len);
        *out_len = len;
    } else {
        (void)put(out, SPAN("\xef\xbf\xbd"));
        *out_len = 3;
        len = 1;
    }
    return len;
}

/* At most `max` octets, cut between two characters. */
static char *put_text(char *to, struct span s, size_t max)
{
    const char *end = to + max;
    while (s.len) {
        size_t room = (size_t)(end - to), run = plain_run(s, room), len;
        char escaped[6];
        to = put(to, span_until(s, run));
        s = span_from(s, run);
        if (s.len == 0 || run == room)
            break;
        size_t used = escape(s, escaped, &len);
        if (len > room - run)
            break;
        to = put(to, span_of(escaped, len));
        s = span_from(s, used);
    }
    return to;
}

static char *put_name(char *to, const char *name)
{
    return put_text(to, span_text(name), NAME_BYTES);
}

size_t front_log_format(const struct front_log_line *l, char *out, size_t room)
{
    char *to = out;
    must(room >= FRONT_LOG_LINE_MAX);
    to = put_time(put(to, SPAN("{\"time\":\"")), l->at_ms);
    to = put_address(put(to, SPAN("\",\"client\":\"")), &l->client);
    to = put_text(put(to, SPAN("\",\"host\":\"")), l->host, TEXT_BYTES);
    to = put_text(put(to, SPAN("\",\"method\":\"")), l->method, TEXT_BYTES);
    to = put_text(put(to, SPAN("\",\"path\":\"")), l->path, TEXT_BYTES);
    to = put_unsigned(put(to, SPAN("\",\"status\":")), l->status);
    to = put_unsigned(put(to, SPAN(",\"bytes\":")), l->bytes);
    to = put_name(put(to, SPAN(",\"cache\":\"")), l->cache);
    to = put_name(put(to, SPAN("\",\"site\":\"")), l->site);
    to = put_hex(put(to, SPAN("\",\"id\":\"")), l->id, 16);
    to = put_duration(put(to, SPAN("\",\"total_us\":")), l->total_us);
    to = put_duration(put(to, SPAN(",\"head_us\":")), l->head_us);
    to = put_duration(put(to, SPAN(",\"origin_us\":")), l->origin_us);
    to = put_name(put(to, SPAN(",\"origin\":\"")), l->origin);
    to = put_name(put(to, SPAN("\",\"peer\":\"")), l->peer);
    to = put_unsigned(put(to, SPAN("\",\"attempts\":")), l->attempts);
    to = put_unsigned(put(to, SPAN(",\"bytes_in\":")), l->bytes_in);
    to = put_name(put(to, SPAN(",\"tls\":\"")), l->tls);
    to = put_name(put(to, SPAN("\",\"http\":\"")), l->http);
    to = put(put(to, SPAN("\",\"whole\":")), l->whole ? SPAN("true") : SPAN("false"));
    to = put_name(put(to, SPAN(",\"fault\":\"")), l->fault);
    to = put_text(put(to, SPAN("\",\"user_agent\":\"")), l->user_agent, TEXT_BYTES);
    to = put_text(put(to, SPAN("\",\"referer\":\"")), l->referer, TEXT_BYTES);
    to = put(to, SPAN("\"}\n"));
    return (size_t)(to - out);
}
