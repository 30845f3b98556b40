/* base/http/h2_head.h - one HTTP/2 head, collected field by field, then judged.
 *
 * RFC 9113 8.2 and 8.3. nghttp2 has already checked what belongs to HTTP/2 (which pseudo fields
 * exist, their order, octets of names and values, connection-specific fields, TE). Here is what
 * HTTP says on top: sizes, the target's octets, :authority against Host, cookie crumbs,
 * Expect, Content-Length, forbidden trailers. Knows no frames and no nghttp2.
 *
 * Units: *_bytes octets; a field counts name + value + 32 (RFC 9113 6.5.2).
 * Thread: one owner.
 * Owns: nothing; text is copied into the arena given.
 * Limits: struct http_h1_limits. Beyond one, nothing more is kept.
 * Errors: ERR_SYNTAX, ERR_LIMIT, ERR_REFUSED, each with a struct http_fault.
 */
#pragma once

#include "base/http/h1.h"

enum http_h2_head_kind { HTTP_H2_HEAD_REQUEST, HTTP_H2_HEAD_RESPONSE, HTTP_H2_HEAD_TRAILERS };

struct http_h2_head {
    enum http_h2_head_kind kind;
    struct arena *arena;
    const struct http_h1_limits *limits;
    struct http_fields fields;
    struct span method, scheme, authority, path, host, status;
    bool has_authority, has_host;
    bool expect_continue, te_trailers;
    uint32_t crumbs; /* cookie lines */
    uint32_t bytes, count;
    uint32_t dropped; /* fields that were not kept, since a limit was passed */
    int64_t length;   /* Content-Length or HTTP_LENGTH_UNKNOWN */
    struct http_fault fault;
};

/* The authority of the connection's last good request: nearly always the next one's too. */
struct http_h2_authority {
    uint8_t len;
    char text[255];
};

void http_h2_head_init(struct http_h2_head *h, enum http_h2_head_kind kind, struct arena *a,
                       const struct http_h1_limits *limits);
/* Takes one field; pseudo fields too. Both spans are only read. */
void http_h2_head_add(struct http_h2_head *h, struct span lower_case_name, struct span value);
/* `ended`: END_STREAM came with the head. Without it and without a length: unknown. */
NODISCARD enum err http_h2_head_request(struct http_h2_head *h, bool ended,
                                        struct http_h2_authority *known,
                                        struct http_request *out);
/* `head_only`: it answers a HEAD request. */
NODISCARD enum err http_h2_head_response(struct http_h2_head *h, bool ended, bool head_only,
                                         struct http_response *out);
NODISCARD enum err http_h2_head_trailers(struct http_h2_head *h, struct http_fields *out);
