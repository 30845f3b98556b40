/* node/front/access_log.h - one line of JSON per exchange.
 *
 * {"time":"2026-01-02T03:04:05.678Z","client":"192.0.2.1","host":"a.example","method":"GET",
 *  "path":"/x?y","status":200,"bytes":1024,"cache":"hit","site":"www","id":"0123456789abcdef",
 *  "total_us":310,"head_us":120,"origin_us":null,"origin":"","attempts":0,"bytes_in":0,
 *  "tls":"TLSv1.3","http":"2","whole":true,"fault":"", "user_agent":"...","referer":"..."}
 * Text is escaped; bytes that are no UTF-8 are written as U+FFFD; each text is cut to 2 KiB.
 *
 * A line goes into the loop's buffer of 64 KiB; a full one is posted to the scribe, one thread
 * for all (SC in house.md), and the second one is filled meanwhile. When both are out, lines
 * are dropped and counted.
 *
 * Thread: a front_log is its loop's; the sink is shared.
 */
#pragma once

#include "base/addr.h"
#include "base/span.h"

struct front_log_line {
    int64_t at_ms; /* wall, since 1970 */
    struct addr client;
    struct span host, method, path, user_agent, referer;
    const char *site; /* "" = none */
    unsigned status;
    uint64_t bytes, bytes_in, id;
    const char *cache;                    /* "hit", "miss", ...; "" = the cache was not asked */
    int64_t total_us, head_us, origin_us; /* -1: null */
    const char *origin, *tls, *http, *fault;
    uint32_t attempts;
    bool whole;
};
/* Writes the line with its '\n'; returns its length. `room` >= FRONT_LOG_LINE_MAX. Pure. */
#define FRONT_LOG_LINE_MAX (16 * 1024)
size_t front_log_format(const struct front_log_line *l, char *out, size_t room);

struct front_log_sink;
/* "stdout" or a file (appended, mode 0640). ERR_SYS: logged. */
NODISCARD enum err front_log_open(const char *path, struct front_log_sink **out);
/* Opens the path anew, after it was moved away (SIGHUP); ERR_SYS keeps the old file. */
NODISCARD enum err front_log_reopen(struct front_log_sink *s, const char *path);
void front_log_close(struct front_log_sink *s); /* writes what was posted; NULL ok */

struct front_log;
struct front_log *front_log_create(struct front_log_sink *s);
void front_log_write(struct front_log *l,
                     const struct front_log_line *line); /* NULL: nothing */
void front_log_flush(struct front_log *l);   /* posts what is there: once a second; NULL ok */
void front_log_destroy(struct front_log *l); /* posts and waits for what is out; NULL ok */
