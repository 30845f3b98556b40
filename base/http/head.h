/* base/http/head.h - an HTTP/1 head from bytes, strict.
 *
 * RFC 9112. A head is the start line, the field lines and the empty line; trailers are a head
 * without a start line. Reading has two steps: http_head_scan finds the end, in one piece or
 * in many, and refuses what is too large while it arrives; http_head_read_* copies the whole
 * head into the arena once, lower-cases names there and checks every octet; there is no lenient
 * switch.
 *
 * Fields that Connection names are removed here, because Connection itself is taken out; the
 * fixed hop-by-hop ones stay for http_fields_remove_hop_by_hop.
 *
 * Stricter than RFC 9112: one empty line before a request, no obs-fold in responses, no
 * several equal Content-Length.
 *
 * Thread: one owner.
 * Owns: nothing; what is read lives in the arena.
 * Limits: struct http_h1_limits; those of framing.h; tag fields of a response together
 *         4 * tag_field_bytes.
 * Errors: ERR_SYNTAX, ERR_LIMIT with reader->fault.
 */
#pragma once

#include "base/http/message.h"

struct http_h1_limits {
    uint32_t line_bytes;      /* request line, status line: over it 414 (client end: error) */
    uint32_t field_bytes;     /* one field line: 431 */
    uint32_t tag_field_bytes; /* a response's Surrogate-Key, Cache-Tag, xkey, X-Magento-Tags,
                               * Cache-Groups line */
    uint32_t fields_bytes;    /* all field lines: 431 (tag fields of responses not counted) */
    uint32_t field_count;     /* 431 */
    uint32_t chunk_extension_bytes; /* per chunk: 400 */
};

struct http_fault {
    uint16_t status;    /* what a server answers before it closes: 400, 414, 417, 431, 501, 505;
                         * of a response read: 502 */
    const char *reason; /* "two content-length", for logs; static */
};

enum http_head_kind { HTTP_HEAD_REQUEST, HTTP_HEAD_RESPONSE, HTTP_HEAD_TRAILERS };

struct http_head_reader {
    enum http_head_kind kind;
    const struct http_h1_limits *limits;
    struct http_fault fault; /* after an error */
    bool chunked;            /* after a read: Transfer-Encoding: chunked */
    bool first_checked;      /* the request line was looked at before the head was whole */
    uint32_t begin;          /* 2 when an empty line came first, else 0 */
    uint32_t first_bytes;    /* of the start line */
    uint32_t lines;          /* whole ones, without the empty one */
    uint32_t fields_bytes, tags_bytes;
    size_t line_at, seen; /* where the line in work begins; octets looked through */
};

/* Lengths are without CR LF; fields_bytes counts them. */
void http_head_begin(struct http_head_reader *r, enum http_head_kind kind,
                     const struct http_h1_limits *limits);
/* `bytes` begins where the head begins, and has grown since the last call. ERR_OK: the head is
 * whole and *out_bytes long; ERR_AGAIN: not yet. */
NODISCARD enum err http_head_scan(struct http_head_reader *r, struct span bytes,
                                  size_t *out_bytes);

/* `head`: what the scan found. `scheme` is set when the target is in absolute form, else
 * empty; `target` is empty for CONNECT. */
NODISCARD enum err http_head_read_request(struct http_head_reader *r, struct span head,
                                          struct arena *a, struct http_request *out);
/* `asked`: the method of the request, which decides about the body (RFC 9112 6.3). */
NODISCARD enum err http_head_read_response(struct http_head_reader *r, struct span head,
                                           enum http_method asked, struct arena *a,
                                           struct http_response *out);
NODISCARD enum err http_head_read_trailers(struct http_head_reader *r, struct span head,
                                           struct arena *a, struct http_fields *out);
