/* base/log.h - one line of logfmt for people: event first, then key=value.
 *
 * log_line(LOG_INFO, "ready", "http=%s workers=%d", text, n)
 *   -> 2026-01-02T03:04:05.678Z info event=ready http=:8080 workers=2
 * Values that may hold spaces or quotes are written by the caller as key=%s with
 * log_quote(). error = a person must act; warn = degraded; info = lifecycle; debug = off.
 * Lines that an outsider can cause go through log_limited.
 *
 * Thread: any (one write per line, to stderr).
 */
#pragma once

#include "base/span.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level);
bool log_on(enum log_level level);
void log_line(enum log_level level, const char *event, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* A rate limit for one kind of line: at most `per_minute`; the next line that passes says how
 * many were held back (suppressed=N). Static storage, zeroed. */
struct log_limit {
    int64_t minute;
    uint32_t count, suppressed;
};
void log_limited(struct log_limit *limit, uint32_t per_minute, enum log_level level,
                 const char *event, const char *fmt, ...) PRINTF_LIKE(5, 6);
/* "text" with quotes and escapes as logfmt wants, cut to room; returns out. */
const char *log_quote(struct span text, char *out, size_t room);
