/* node/front/access_line.h - one line of JSON per exchange.
 *
 * {"time":"2026-01-02T03:04:05.678Z","client":"192.0.2.1","host":"a.example","method":"GET",
 *  "path":"/x?y","status":200,"bytes":1024,"cache":"hit","site":"www","id":"0123456789abcdef",
 *  "total_us":310,"head_us":120,"origin_us":null,"origin":"","peer":"","attempts":0,"bytes_in":0,
 *  "tls":"TLSv1.3","http":"2","whole":true,"fault":"","user_agent":"...","referer":"..."}
 * Text is escaped; bytes that are no UTF-8 are written as U+FFFD; each text of the client's is
 * cut to 2 KiB as written, each name of ours (site, origin, ...) to 512 bytes.
 *
 * Thread: any.
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
    const char *origin, *peer, *tls, *http, *fault; /* peer: the node whose answer it is */
    uint32_t attempts;
    bool whole;
};
/* Writes the line with its '\n'; returns its length. `room` >= FRONT_LOG_LINE_MAX. Pure. */
#define FRONT_LOG_LINE_MAX ((size_t)16 * 1024)
size_t front_log_format(const struct front_log_line *l, char *out, size_t room);
