/* base/http/h2_core.h - the inside of an HTTP/2 connection, for h2*.c alone (door to nghttp2).
 *
 * h2.c: the session, its bytes and its end. h2_stream.c: the table of streams. h2_receive.c:
 * what nghttp2 hands over. h2_send.c: heads and bodies that go out.
 *
 * Thread: one owner.
 */
#pragma once

#include <nghttp2/nghttp2.h>

#include "base/http/h2.h"
#include "base/http/h2_head.h"
#include "base/http/h2_watch.h"

#define HTTP_H2_BUCKETS 64 /* of the stream table; ids are sequential, so chains are short */
#define HTTP_H2_REASON_MAX 64
/* No DATA frame is cut smaller than this by the output's end. */
#define HTTP_H2_ROOM_LEAST 1024

struct http_h2_stream {
    struct http_h2_stream *next; /* in its bucket, or in the list of free ones */
    struct arena arena;
    void *user;
    size_t uncredited; /* body bytes given to the caller and not yet consumed */
    int32_t id;
    bool told;         /* the caller knows this stream */
    bool deaf;         /* nothing of it is delivered any more: refused or reset by us */
    bool excused;      /* a RST_STREAM of ours that the other side did not provoke */
    bool head_done;    /* the final head came */
    bool head_only;    /* client: a HEAD request */
    bool remote_ended; /* END_STREAM received */
    bool local_ended;  /* END_STREAM sent */

    struct http_h2_head head; /* the one that arrives; set when it begins */
};

struct http_h2 {
    nghttp2_session *ng;
    enum http_role role;
    struct http_h2_conf conf;
    struct http_h1_limits limits;
    const struct http_h2_functions *functions;
    void *user;
    struct http_h2_stream *buckets[HTTP_H2_BUCKETS];
    struct http_h2_stream *free;    /* arenas reset, first block kept */
    struct http_h2_stream *heading; /* the stream whose head arrives */
    struct http_h2_stream *closing; /* the one that stream_close is told of */
    uint32_t streams, free_count;

    int32_t highest;     /* server: highest stream id seen */
    int32_t goaway_last; /* ids above are ignored, after GOAWAY */
    struct http_h2_watch watch;
    struct http_h2_authority authority;

    char *out; /* only inside http_h2_output */
    size_t out_len, out_room;
    bool out_full;
    const uint8_t *pending; /* a frame that did not fit; nghttp2's until its next mem_send */
    size_t pending_len;

    bool draining, ending, terminated;
    bool broken; /* not even a GOAWAY can be sent */
    uint32_t end_code;
    const char *reason;
    char reason_text[HTTP_H2_REASON_MAX];
};

struct http_h2_stream *http_h2_stream_find(const struct http_h2 *h, int32_t id); /* or NULL */
struct http_h2_stream *http_h2_stream_open(struct http_h2 *h, int32_t id);
/* Takes it out of the table, tells the caller, keeps its memory for the next one. */
void http_h2_stream_close(struct http_h2 *h, struct http_h2_stream *s, uint32_t error);
/* Nothing of it is delivered any more. */
void http_h2_stream_reset(struct http_h2 *h, struct http_h2_stream *s, uint32_t error);

/* The session ends; the first reason stands. */
void http_h2_end_with(struct http_h2 *h, uint32_t code, const char *reason);
/* What a receiving callback returns: over the budget nghttp2 stops at once. */
int http_h2_charge(struct http_h2 *h, uint32_t points, const char *reason);

void http_h2_receive_register(nghttp2_session_callbacks *c);
void http_h2_send_register(nghttp2_session_callbacks *c);
/* Answers here what the caller is never shown: the fault of the stream's head. */
void http_h2_send_refusal(struct http_h2 *h, struct http_h2_stream *s);
