/* base/http/framing.h - what the fields of an HTTP/1 head say about the connection.
 *
 * RFC 9112 6, 9.3; RFC 9110 7.6.1, 10.1.1. Content-Length, Transfer-Encoding, Connection, Host
 * and Expect are weighed one by one and taken out; TE and Upgrade are noted and stay. Used by
 * head.c alone.
 *
 * Thread: one owner. Owns: nothing; spans are those of the fields.
 * Limits: 4 Connection lines, 64 options in each.
 * Errors: ERR_SYNTAX with a fault for a request; head.c makes it 502 for a response.
 */
#pragma once

#include "base/http/head.h"

#define HTTP_FRAMING_CONNECTIONS_MAX 4

struct http_framing {
    int64_t length; /* HTTP_LENGTH_UNKNOWN: no Content-Length */
    struct span host;
    struct span connection[HTTP_FRAMING_CONNECTIONS_MAX];
    uint32_t connections, hosts;
    bool chunked, close, keep_alive;
    bool named; /* Connection lists other fields */
    bool upgrade, te_trailers, expect_continue;
};

void http_framing_begin(struct http_framing *f);
/* Takes note of one field; *out_keep says whether it stays in the list. */
NODISCARD enum err http_framing_weigh(struct http_framing *f, enum http_head_kind kind,
                                      const struct http_field *field, bool *out_keep,
                                      struct http_fault *fault);
/* After the last field: do they agree? */
NODISCARD enum err http_framing_check(const struct http_framing *f, enum http_version version,
                                      struct http_fault *fault);
bool http_framing_keeps_alive(const struct http_framing *f, enum http_version version);
