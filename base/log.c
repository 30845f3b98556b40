#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 4096 /* longer lines are cut */

static _Atomic int level_now = LOG_INFO;

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&level_now, (int)level, memory_order_relaxed);
}

bool log_on(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&level_now, memory_order_relaxed);
}

static const char *level_text(enum log_level level)
{
    static const char *const texts[] = {
        [LOG_ERROR] = "error", [LOG_WARN] = "warn", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"};
    return texts[level];
}

/* What snprintf says it wrote, cut to the room that there was. */
static size_t grown(size_t at, int wrote)
{
    size_t room = LINE_BYTES - at;
    if (wrote < 0)
        return at;
    return (size_t)wrote < room ? at + (size_t)wrote : LINE_BYTES - 1;
}

static void PRINTF_LIKE(4, 0) write_line(enum log_level level, const char *event,
                                         uint32_t suppressed, const char *fmt, va_list args)
{
    char line[LINE_BYTES];
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t at = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &utc);
    at = grown(at, snprintf(line + at, LINE_BYTES - at, ".%03dZ %s event=%s",
                            (int)(now.tv_nsec / 1000000), level_text(level), event));
    if (fmt[0] && at < LINE_BYTES - 1) {
        line[at++] = ' ';
        at = grown(at, vsnprintf(line + at, LINE_BYTES - at, fmt, args));
    }
    if (suppressed)
        at = grown(at, snprintf(line + at, LINE_BYTES - at, " suppressed=%u", suppressed));
    /* A value that smuggles a line end must not become a line of its own. */
    for (size_t i = 0; i < at; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    }
    line[at++] = '\n';
    /* A closed or full stderr is nothing we could tell anybody about. */
    ssize_t ignored = write(STDERR_FILENO, line, at);
    (void)ignored;
}

void log_line(enum log_level level, const char *event, const char *fmt, ...)
{
    va_list args;
    if (!log_on(level))
        return;
    va_start(args, fmt);
    write_line(level, event, 0, fmt, args);
    va_end(args);
}

/* Any thread may come at any time: relaxed atomics. A line more or less at the turn of a minute
 * does not matter. */
static bool passes(struct log_limit *limit, uint32_t per_minute, uint32_t *out_suppressed)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    int64_t minute = now.tv_sec / 60 + 1; /* so that zeroed storage is no minute */
    if (__atomic_load_n(&limit->minute, __ATOMIC_RELAXED) != minute &&
        __atomic_exchange_n(&limit->minute, minute, __ATOMIC_RELAXED) != minute)
        __atomic_store_n(&limit->count, 0, __ATOMIC_RELAXED);
    if (__atomic_load_n(&limit->count, __ATOMIC_RELAXED) >= per_minute) {
        __atomic_fetch_add(&limit->suppressed, 1, __ATOMIC_RELAXED);
        return false;
    }
    __atomic_fetch_add(&limit->count, 1, __ATOMIC_RELAXED);
    *out_suppressed = __atomic_exchange_n(&limit->suppressed, 0, __ATOMIC_RELAXED);
    return true;
}

void log_limited(struct log_limit *limit, uint32_t per_minute, enum log_level level,
                 const char *event, const char *fmt, ...)
{
    va_list args;
    uint32_t suppressed;
    if (!log_on(level) || !passes(limit, per_minute, &suppressed))
        return;
    va_start(args, fmt);
    write_line(level, event, suppressed, fmt, args);
    va_end(args);
}

const char *log_quote(struct span text, char *out, size_t room)
{
    static const char hex[] = "0123456789abcdef";
    size_t at = 0;
    must(room >= 3);
    out[at++] = '"';
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool plain = c >= 0x20 && c != 0x7f && c != '"' && c != '\\';
        bool marked = c == '"' || c == '\\' || c == '\n' || c == '\t' || c == '\r';
        size_t need = plain ? 1 : marked ? 2 : 4;
        if (at + need + 2 > room)
            break;
        if (plain) {
            out[at++] = (char)c;
        } else if (marked) {
            out[at++] = '\\';
            out[at++] = c == '\n' ? 'n' : c == '\t' ? 't' : c == '\r' ? 'r' : (char)c;
        } else {
            out[at++] = '\\';
            out[at++] = 'x';
            out[at++] = hex[c >> 4];
            out[at++] = hex[c & 15];
        }
    }
    out[at++] = '"';
    out[at] = 0;
    return out;
}
