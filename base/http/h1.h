/* base/http/h1.h - an HTTP/1.1 connection, either end, sans-I/O.
 *
 * RFC 9112. Bytes in by http_h1_feed, what they meant by http_h1_next; heads out through the
 * write functions, which append to a byte queue; body bytes are not copied: the caller sends
 * the prefix that http_h1_body_prefix gives, then the bytes themselves. There is no lenient
 * switch: every doubt is an error and the end of the connection.
 *
 * A server may read the next request only after http_h1_next gave END of this one and its
 * answer is written: then http_h1_turn. A client says with http_h1_write_request what it
 * asked, so that the answer's framing is known (HEAD, CONNECT).
 *
 * Thread: one owner. Owns: a queue for a head that arrives in pieces, freed when not needed.
 * Limits: struct http_h1_limits; heads and trailers are bounded while they arrive, chunk
 *         framing is never kept.
 * Errors: ERR_SYNTAX, ERR_LIMIT with a struct http_fault that says which status to answer.
 */
#pragma once

#include "base/buf.h"
#include "base/http/head.h" /* struct http_h1_limits, struct http_fault */
#include "base/http/message.h"

enum http_role { HTTP_SERVER, HTTP_CLIENT };

/* 8 KiB, 8 KiB, 64 KiB, 32 KiB, 100, 256 */
extern const struct http_h1_limits http_h1_limits_default;

enum http_h1_event_kind {
    HTTP_H1_MORE,     /* nothing whole yet: feed more */
    HTTP_H1_REQUEST,  /* server: a head; event.request */
    HTTP_H1_RESPONSE, /* client: a head, also interim 1xx (status < 200); event.response */
    HTTP_H1_BODY,     /* event.body, borrowed until the next feed or next */
    HTTP_H1_END,      /* the message is complete; event.trailers */
    HTTP_H1_FAULT,    /* event.fault; nothing more will come */
};
struct http_h1_event {
    enum http_h1_event_kind kind;
    struct http_request request;
    struct http_response response;
    struct span body;
    struct http_fields trailers; /* framing and routing fields never get here: fault 400 */
    struct http_fault fault;
};

struct http_h1; /* opaque, one allocation */
struct http_h1 *http_h1_create(enum http_role role, const struct http_h1_limits *limits);
void http_h1_destroy(struct http_h1 *h);

/* Offers bytes; they must stay valid until http_h1_next said MORE, END, FAULT or REQUEST (a
 * server stops there: what was not used stays with the caller, see http_h1_unused). A second
 * feed before the first is used up is our bug. */
void http_h1_feed(struct http_h1 *h, struct span bytes);
/* The next thing the bytes meant. Heads and trailers are copied into the arena first. After END
 * a server says MORE and uses nothing until http_h1_turn; a client takes further bytes, which
 * nobody asked for, as a FAULT. At most 16 interim responses before an answer. */
enum http_h1_event_kind http_h1_next(struct http_h1 *h, struct arena *a,
                                     struct http_h1_event *out);
size_t http_h1_unused(const struct http_h1 *h); /* bytes of the last feed not yet used */
void http_h1_drop_feed(struct http_h1 *h); /* forget the unused bytes (caller keeps them) */
/* The bytes ended (FIN). Gives END for a body that lasts until close, FAULT in the middle of a
 * message, MORE between messages. */
enum http_h1_event_kind http_h1_eof(struct http_h1 *h, struct http_h1_event *out);
void http_h1_turn(struct http_h1 *h); /* server: the answer is out, expect the next request */
bool http_h1_is_idle(const struct http_h1 *h);   /* between messages, no byte of the next one */
bool http_h1_body_done(const struct http_h1 *h); /* the incoming message is whole */
/* May the connection carry another message, as far as what was read and written says? */
bool http_h1_reusable(const struct http_h1 *h);

/* Heads out. `close` adds Connection: close and makes the connection not reusable. Writers
 * choose the framing: Content-Length when known, else chunked, else (to HTTP/1.0) until close.
 * Fields with CR, LF or NUL in them are our bug (readers refuse them). */
NODISCARD enum err http_h1_write_request(struct http_h1 *h, const struct http_request *r,
                                         bool close, struct buf *out);
NODISCARD enum err http_h1_write_response(struct http_h1 *h, const struct http_response *r,
                                          bool close, struct buf *out);
NODISCARD enum err http_h1_write_interim(struct http_h1 *h, const struct http_response *r,
                                         struct buf *out); /* not to HTTP/1.0: does nothing */

#define HTTP_H1_PREFIX_MAX 24
/* What to send before `bytes` of body: the chunk's frame, or nothing. Returns its length.
 * must(): no more than the declared length, and none when there is no body (HEAD, 204, 304). */
size_t http_h1_body_prefix(struct http_h1 *h, size_t bytes, char out[HTTP_H1_PREFIX_MAX]);
/* How many bytes of body may still be sent after the head that was written: 0 = none,
 * HTTP_LENGTH_UNKNOWN = any number. */
int64_t http_h1_body_left(const struct http_h1 *h);
/* Ends the outgoing message: the last chunk with trailers, or nothing. ERR_SYNTAX when the
 * body was shorter than declared (the caller must cut the connection). */
NODISCARD enum err http_h1_body_end(struct http_h1 *h, const struct http_fields *trailers,
                                    struct buf *out);
