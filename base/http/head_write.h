/* base/http/head_write.h - an HTTP/1 head to bytes.
 *
 * RFC 9112. The connection (h1.c) decides about framing; here it is only written. Fields of
 * the framing that stand in `fields` all the same are left out.
 *
 * Thread: one owner.
 * Errors: ERR_LIMIT: the queue's cap; ERR_SYNTAX: a value with control octets, our bug, found
 *         before it does harm. Nothing is appended on error.
 */
#pragma once

#include "base/buf.h"
#include "base/http/message.h"

struct http_head_write {
    int64_t length;   /* Content-Length; HTTP_LENGTH_UNKNOWN: none */
    bool chunked;     /* Transfer-Encoding: chunked */
    bool close;       /* Connection: close */
    bool keep_alive;  /* Connection: keep-alive, to HTTP/1.0 */
    bool te_trailers; /* TE: trailers, in a request */
};

NODISCARD enum err http_head_write_request(const struct http_request *r,
                                           const struct http_head_write *how, struct buf *out);
NODISCARD enum err http_head_write_response(const struct http_response *r,
                                            const struct http_head_write *how, struct buf *out);
/* Fields and the empty line. */
NODISCARD enum err http_head_write_trailers(const struct http_fields *fields, struct buf *out);
