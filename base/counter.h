/* base/counter.h - per-thread counters, summed when read.
 *
 * Each thread owns one block of relaxed atomics that only it writes; readers sum all blocks.
 * A counter is a name, a help text and optionally one fixed label pair, in one table
 * (counter.c), so that /metrics and the code cannot disagree. Gauges that live elsewhere are
 * not here; admin/metrics asks their owners.
 *
 * Thread: counter_add by any thread that called counter_thread_init (others share a block
 * with atomic adds); counter_sum by any.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"

enum counter {
    COUNTER_CONNECTIONS, /* minus _CLOSED: open now */
    COUNTER_CONNECTIONS_CLOSED,
    COUNTER_CONNECTIONS_REFUSED,
    COUNTER_TLS_HANDSHAKES,
    COUNTER_TLS_RESUMED,
    COUNTER_TLS_FAILED,
    COUNTER_REQUESTS_H1,
    COUNTER_REQUESTS_H2,
    COUNTER_RESPONSES_1XX, /* five in a row: index by status / 100 - 1 */
    COUNTER_RESPONSES_2XX,
    COUNTER_RESPONSES_3XX,
    COUNTER_RESPONSES_4XX,
    COUNTER_RESPONSES_5XX,
    COUNTER_BYTES_IN,  /* request bodies */
    COUNTER_BYTES_OUT, /* response bodies */
    COUNTER_BAD_REQUESTS,
    COUNTER_CACHE_HIT,
    COUNTER_CACHE_STALE,
    COUNTER_CACHE_MISS,
    COUNTER_CACHE_JOINED,
    COUNTER_CACHE_REVALIDATED,
    COUNTER_CACHE_PASS,
    COUNTER_CACHE_DISK_HIT,
    COUNTER_CACHE_STORED,
    COUNTER_CACHE_NOT_STORED_TAGS, /* too many or too large tag fields */
    COUNTER_CACHE_NOT_STORED_URL,  /* too long for a purge to name it */
    COUNTER_CACHE_NOT_STORED_BUSY, /* the writer's queue was full */
    COUNTER_CACHE_EVICTED,
    COUNTER_CACHE_CORRUPT,
    COUNTER_CACHE_VARIANTS_CAPPED,
    COUNTER_CACHE_CUT_OVER, /* slow readers moved to the store or a fetch of their own */
    COUNTER_FORMS_MADE_GZIP,
    COUNTER_FORMS_MADE_ZSTD,
    COUNTER_FORMS_MADE_IDENTITY, /* decoded */
    COUNTER_ENCODER_IN_GZIP,     /* bytes before and after, as stored or as sent */
    COUNTER_ENCODER_IN_ZSTD,
    COUNTER_ENCODER_IN_IDENTITY,
    COUNTER_ENCODER_OUT_GZIP,
    COUNTER_ENCODER_OUT_ZSTD,
    COUNTER_ENCODER_OUT_IDENTITY,
    COUNTER_ENCODER_DENSE,    /* bodies that do not get smaller */
    COUNTER_ENCODER_BROKEN,   /* bodies that are not what Content-Encoding says */
    COUNTER_ENCODER_FAILED,   /* no memory, no disk */
    COUNTER_ENCODER_LATE,     /* the body was replaced or purged meanwhile */
    COUNTER_ENCODER_DROPPED,  /* the queue was full */
    COUNTER_IDENTITY_REFUSED, /* sent although the client refuses it: there is nothing else */
    COUNTER_STORE_COMMITS,
    COUNTER_STORE_BYTES,
    COUNTER_STORE_MAP_FULL,
    COUNTER_STORE_ERRORS,
    COUNTER_ORIGIN_REQUESTS,
    COUNTER_ORIGIN_CONNECTIONS,
    COUNTER_ORIGIN_RETRIES,
    COUNTER_ORIGIN_ERRORS,
    COUNTER_ORIGIN_TIMEOUTS,
    COUNTER_ORIGIN_BYTES,
    COUNTER_PURGES,
    COUNTER_PURGE_SELECTORS,
    COUNTER_PURGE_LOG_ERRORS,
    COUNTER_PURGE_WIDENED, /* of more than was named: a list was full */
    COUNTER_RELOADS,
    COUNTER_RELOADS_REFUSED,
    COUNTER_ACCESS_LOG_DROPPED,
    COUNTER_PEER_CONNECTIONS, /* from other nodes; minus _CLOSED: open now */
    COUNTER_PEER_CONNECTIONS_CLOSED,
    COUNTER_PEER_CONNECTIONS_REFUSED,
    COUNTER_PEER_HANDSHAKES,
    COUNTER_PEER_HANDSHAKES_FAILED, /* no key, another secret, no TLS at all */
    COUNTER_PEER_REQUESTS_OBJECT,   /* for what the cache or an origin answers */
    COUNTER_PEER_REQUESTS_CONTROL,
    COUNTER_PEER_FETCHES_TAKEN,   /* answers of other nodes */
    COUNTER_PEER_FETCHES_REFUSED, /* that may be older than a purge, or that are none */
    COUNTER_PEER_FETCHES_FAILED,  /* silent, or broken */
    COUNTER_PEER_FETCHES_RESUMED, /* broken in the middle; the rest asked of the origin */
    COUNTER_H2_CALM,              /* connections ended with ENHANCE_YOUR_CALM */
    COUNTER_LOOP_TURNS_OVER_10MS,
    COUNTER_COUNT
};

struct counter_info {
    const char *name;  /* "perigee_requests_total" */
    const char *label; /* "version=\"h1\"" or NULL */
    const char *help;
};

const struct counter_info *counter_info(enum counter c);
void counter_thread_init(void); /* at most 256 threads; the rest share the first block */
void counter_add(enum counter c, uint64_t n);
uint64_t counter_sum(enum counter c);
