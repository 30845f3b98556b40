#include "base/counter.h"

#include <stdalign.h>
#include <stdatomic.h>

#define BLOCKS_MAX 257 /* one shared, 256 of threads */

struct block {
    alignas(64) _Atomic uint64_t values[COUNTER_COUNT];
};

static struct block blocks[BLOCKS_MAX]; /* the first is shared by threads without their own */
static _Atomic unsigned blocks_used = 1;
static _Thread_local struct block *mine;

#define PLAIN(c, name, help) [c] = {name, NULL, help}
#define LABEL(c, name, label, help) [c] = {name, label, help}
#define REQUESTS "requests received"
#define RESPONSES "responses sent, by class of status"
#define PEER_HANDSHAKES "handshakes on the peer port"
#define PEER_REQUESTS "requests of other nodes"
#define LOOKUPS "requests by how the cache answered"
#define FORMS "encodings of objects made and kept"
#define ENCODER_IN "bytes of bodies encoded (identity: decoded), before"
#define ENCODER_OUT "bytes of bodies encoded (identity: decoded), after"
#define NOT_MADE "encodings of objects not made"
#define NOT_STORED "responses that could have been stored and were not"

static const struct counter_info infos[] = {
    PLAIN(COUNTER_CONNECTIONS, "perigee_connections_total", "client connections accepted"),
    PLAIN(COUNTER_CONNECTIONS_CLOSED, "perigee_connections_closed_total",
          "client connections that ended"),
    PLAIN(COUNTER_CONNECTIONS_REFUSED, "perigee_connections_refused_total",
          "client connections closed at once, because there were too many"),
    LABEL(COUNTER_TLS_HANDSHAKES, "perigee_tls_handshakes_total", "kind=\"full\"",
          "TLS handshakes finished"),
    LABEL(COUNTER_TLS_RESUMED, "perigee_tls_handshakes_total", "kind=\"resumed\"",
          "TLS handshakes finished"),
    PLAIN(COUNTER_TLS_FAILED, "perigee_tls_failures_total", "TLS handshakes that failed"),
    LABEL(COUNTER_REQUESTS_H1, "perigee_requests_total", "version=\"h1\"", REQUESTS),
    LABEL(COUNTER_REQUESTS_H2, "perigee_requests_total", "version=\"h2\"", REQUESTS),
    LABEL(COUNTER_RESPONSES_1XX, "perigee_responses_total", "class=\"1xx\"", RESPONSES),
    LABEL(COUNTER_RESPONSES_2XX, "perigee_responses_total", "class=\"2xx\"", RESPONSES),
    LABEL(COUNTER_RESPONSES_3XX, "perigee_responses_total", "class=\"3xx\"", RESPONSES),
    LABEL(COUNTER_RESPONSES_4XX, "perigee_responses_total", "class=\"4xx\"", RESPONSES),
    LABEL(COUNTER_RESPONSES_5XX, "perigee_responses_total", "class=\"5xx\"", RESPONSES),
    PLAIN(COUNTER_BYTES_IN, "perigee_request_body_bytes_total", "bytes of request bodies"),
    PLAIN(COUNTER_BYTES_OUT, "perigee_response_body_bytes_total", "bytes of response bodies"),
    PLAIN(COUNTER_BAD_REQUESTS, "perigee_bad_requests_total",
          "requests refused for their form or size"),
    LABEL(COUNTER_CACHE_HIT, "perigee_cache_requests_total", "result=\"hit\"", LOOKUPS),
    LABEL(COUNTER_CACHE_STALE, "perigee_cache_requests_total", "result=\"stale\"", LOOKUPS),
    LABEL(COUNTER_CACHE_MISS, "perigee_cache_requests_total", "result=\"miss\"", LOOKUPS),
    LABEL(COUNTER_CACHE_JOINED, "perigee_cache_requests_total", "result=\"joined\"", LOOKUPS),
    LABEL(COUNTER_CACHE_REVALIDATED, "perigee_cache_requests_total", "result=\"revalidated\"",
          LOOKUPS),
    LABEL(COUNTER_CACHE_PASS, "perigee_cache_requests_total", "result=\"pass\"", LOOKUPS),
    PLAIN(COUNTER_CACHE_DISK_HIT, "perigee_cache_disk_hits_total",
          "hits that were read from the disk tier"),
    PLAIN(COUNTER_CACHE_STORED, "perigee_cache_stored_total", "objects stored"),
    LABEL(COUNTER_CACHE_NOT_STORED_TAGS, "perigee_cache_not_stored_total", "reason=\"tags\"",
          NOT_STORED),
    LABEL(COUNTER_CACHE_NOT_STORED_URL, "perigee_cache_not_stored_total", "reason=\"url\"",
          NOT_STORED),
    LABEL(COUNTER_CACHE_NOT_STORED_BUSY, "perigee_cache_not_stored_total", "reason=\"busy\"",
          NOT_STORED),
    PLAIN(COUNTER_CACHE_EVICTED, "perigee_cache_evicted_total", "objects removed to make room"),
    PLAIN(COUNTER_CACHE_CORRUPT, "perigee_cache_corrupt_total",
          "stored objects whose bytes were not what was written"),
    PLAIN(COUNTER_CACHE_VARIANTS_CAPPED, "perigee_cache_variants_capped_total",
          "variants dropped because their object had too many"),
    PLAIN(COUNTER_CACHE_CUT_OVER, "perigee_cache_cut_over_total",
          "slow readers moved to the store or a fetch of their own"),
    LABEL(COUNTER_FORMS_MADE_GZIP, "perigee_forms_made_total", "encoding=\"gzip\"", FORMS),
    LABEL(COUNTER_FORMS_MADE_ZSTD, "perigee_forms_made_total", "encoding=\"zstd\"", FORMS),
    LABEL(COUNTER_FORMS_MADE_IDENTITY, "perigee_forms_made_total", "encoding=\"identity\"",
          FORMS),
    LABEL(COUNTER_ENCODER_IN_GZIP, "perigee_encoder_in_bytes_total", "encoding=\"gzip\"",
          ENCODER_IN),
    LABEL(COUNTER_ENCODER_IN_ZSTD, "perigee_encoder_in_bytes_total", "encoding=\"zstd\"",
          ENCODER_IN),
    LABEL(COUNTER_ENCODER_IN_IDENTITY, "perigee_encoder_in_bytes_total",
          "encoding=\"identity\"", ENCODER_IN),
    LABEL(COUNTER_ENCODER_OUT_GZIP, "perigee_encoder_out_bytes_total", "encoding=\"gzip\"",
          ENCODER_OUT),
    LABEL(COUNTER_ENCODER_OUT_ZSTD, "perigee_encoder_out_bytes_total", "encoding=\"zstd\"",
          ENCODER_OUT),
    LABEL(COUNTER_ENCODER_OUT_IDENTITY, "perigee_encoder_out_bytes_total",
          "encoding=\"identity\"", ENCODER_OUT),
    LABEL(COUNTER_ENCODER_DENSE, "perigee_encoder_not_made_total", "reason=\"dense\"",
          NOT_MADE),
    LABEL(COUNTER_ENCODER_BROKEN, "perigee_encoder_not_made_total", "reason=\"broken\"",
          NOT_MADE),
    LABEL(COUNTER_ENCODER_FAILED, "perigee_encoder_not_made_total", "reason=\"failed\"",
          NOT_MADE),
    LABEL(COUNTER_ENCODER_LATE, "perigee_encoder_not_made_total", "reason=\"late\"", NOT_MADE),
    LABEL(COUNTER_ENCODER_DROPPED, "perigee_encoder_not_made_total", "reason=\"dropped\"",
          NOT_MADE),
    PLAIN(COUNTER_IDENTITY_REFUSED, "perigee_identity_refused_total",
          "answers in a form that the client refuses, for want of another"),
    PLAIN(COUNTER_STORE_COMMITS, "perigee_store_commits_total", "commits of the disk tier"),
    PLAIN(COUNTER_STORE_BYTES, "perigee_store_bytes_total", "bytes written to the disk tier"),
    PLAIN(COUNTER_STORE_MAP_FULL, "perigee_store_map_full_total",
          "writes that found the disk tier full"),
    PLAIN(COUNTER_STORE_ERRORS, "perigee_store_errors_total", "errors of the disk tier"),
    PLAIN(COUNTER_ORIGIN_REQUESTS, "perigee_origin_requests_total", "requests sent to origins"),
    PLAIN(COUNTER_ORIGIN_CONNECTIONS, "perigee_origin_connections_total",
          "connections opened to origins"),
    PLAIN(COUNTER_ORIGIN_RETRIES, "perigee_origin_retries_total", "requests sent again"),
    PLAIN(COUNTER_ORIGIN_ERRORS, "perigee_origin_errors_total", "origin requests that failed"),
    PLAIN(COUNTER_ORIGIN_TIMEOUTS, "perigee_origin_timeouts_total",
          "origin requests that took too long"),
    PLAIN(COUNTER_ORIGIN_BYTES, "perigee_origin_body_bytes_total",
          "bytes of response bodies from origins"),
    PLAIN(COUNTER_PURGES, "perigee_purges_total", "purge requests accepted"),
    PLAIN(COUNTER_PURGE_SELECTORS, "perigee_purge_selectors_total", "selectors purged"),
    PLAIN(COUNTER_PURGE_LOG_ERRORS, "perigee_purge_log_errors_total",
          "purge records that could not be synced or read back"),
    PLAIN(COUNTER_PURGE_WIDENED, "perigee_purge_widened_total",
          "purges of more than they named, because a list was full"),
    PLAIN(COUNTER_RELOADS, "perigee_reloads_total", "configurations taken into use"),
    PLAIN(COUNTER_RELOADS_REFUSED, "perigee_reloads_refused_total", "configurations refused"),
    PLAIN(COUNTER_ACCESS_LOG_DROPPED, "perigee_access_log_dropped_total",
          "access log lines dropped because the disk was slow"),
    PLAIN(COUNTER_PEER_CONNECTIONS, "perigee_peer_connections_total",
          "connections from other nodes accepted"),
    PLAIN(COUNTER_PEER_CONNECTIONS_CLOSED, "perigee_peer_connections_closed_total",
          "connections from other nodes that ended"),
    PLAIN(COUNTER_PEER_CONNECTIONS_REFUSED, "perigee_peer_connections_refused_total",
          "connections to the peer port closed at once, because there were too many"),
    LABEL(COUNTER_PEER_HANDSHAKES, "perigee_peer_handshakes_total", "result=\"ok\"",
          PEER_HANDSHAKES),
    LABEL(COUNTER_PEER_HANDSHAKES_FAILED, "perigee_peer_handshakes_total", "result=\"failed\"",
          PEER_HANDSHAKES),
    LABEL(COUNTER_PEER_REQUESTS_OBJECT, "perigee_peer_requests_total", "kind=\"object\"",
          PEER_REQUESTS),
    LABEL(COUNTER_PEER_FETCHES_TAKEN, "perigee_peer_fetches_total", "result=\"taken\"",
          "Misses asked of another node, by what came of it."),
    LABEL(COUNTER_PEER_FETCHES_REFUSED, "perigee_peer_fetches_total", "result=\"refused\"",
          "Misses asked of another node, by what came of it."),
    LABEL(COUNTER_PEER_FETCHES_FAILED, "perigee_peer_fetches_total", "result=\"failed\"",
          "Misses asked of another node, by what came of it."),
    LABEL(COUNTER_PEER_FETCHES_RESUMED, "perigee_peer_fetches_total", "result=\"resumed\"",
          "Misses asked of another node, by what came of it."),
    LABEL(COUNTER_PEER_REQUESTS_CONTROL, "perigee_peer_requests_total", "kind=\"control\"",
          PEER_REQUESTS),
    PLAIN(COUNTER_H2_CALM, "perigee_h2_calm_total",
          "HTTP/2 connections ended with ENHANCE_YOUR_CALM"),
    PLAIN(COUNTER_LOOP_TURNS_OVER_10MS, "perigee_loop_turns_over_10ms_total",
          "turns of a loop that took longer than 10 ms"),
};
_Static_assert(ARRAY_LEN(infos) == COUNTER_COUNT, "every counter has a name");

const struct counter_info *counter_info(enum counter c)
{
    must(c < COUNTER_COUNT);
    return &infos[c];
}

void counter_thread_init(void)
{
    if (mine)
        return;
    unsigned index = atomic_load_explicit(&blocks_used, memory_order_relaxed);
    do {
        if (index == BLOCKS_MAX)
            return;
    } while (!atomic_compare_exchange_weak_explicit(
        &blocks_used, &index, index + 1, memory_order_relaxed, memory_order_relaxed));
    mine = &blocks[index];
}

void counter_add(enum counter c, uint64_t n)
{
    if (mine) {
        /* Nobody else writes here: no locked instruction is needed. */
        uint64_t now = atomic_load_explicit(&mine->values[c], memory_order_relaxed);
        atomic_store_explicit(&mine->values[c], now + n, memory_order_relaxed);
    } else {
        atomic_fetch_add_explicit(&blocks[0].values[c], n, memory_order_relaxed);
    }
}

uint64_t counter_sum(enum counter c)
{
    unsigned used = atomic_load_explicit(&blocks_used, memory_order_relaxed);
    uint64_t sum = 0;
    for (unsigned i = 0; i < used; i++)
        sum += atomic_load_explicit(&blocks[i].values[c], memory_order_relaxed);
    return sum;
}
