/* base/http/message.h - a request or response as structs; a small answer of our own.
 *
 * The same structs for HTTP/1 and HTTP/2, for clients, origins, peers and the admin API.
 * Framing fields (Content-Length, Transfer-Encoding, Connection, Host) are not in `fields`:
 * the readers take them out into members, the writers put them back.
 * Exception: a response's Content-Length to a HEAD request or in a 304 is in body_bytes too.
 *
 * Units: *_bytes octets. Thread: one owner.
 * Owns: nothing; all spans live in the arena that the reader was given.
 */
#pragma once

#include "base/http/fields.h"

#define HTTP_LENGTH_UNKNOWN INT64_C(-1)

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_PATCH,
    HTTP_TRACE,
    HTTP_CONNECT,
    HTTP_PURGE,
    HTTP_METHOD_OTHER,
};
enum http_version { HTTP_1_0 = 10, HTTP_1_1 = 11, HTTP_2 = 20 };

struct http_request {
    enum http_method method;
    enum http_version version;
    struct span method_text; /* as sent, case kept */
    struct span scheme;      /* "http" or "https"; set by the session from the connection */
    struct span authority;   /* host[:port], lower case, checked; never empty but in HTTP/1.0 */
    struct span target;      /* origin form as sent: "/path?query", or "*" for OPTIONS */
    struct http_fields fields;
    int64_t body_bytes;   /* 0: none; HTTP_LENGTH_UNKNOWN: chunked, or HTTP/2 without length */
    bool expect_continue; /* Expect: 100-continue, taken out of fields */
    bool keep_alive;      /* HTTP/1: may the connection be used again after the answer? */
    bool upgrade;         /* asked for Upgrade: never forwarded */
    bool has_trailer_support; /* TE: trailers */
};

/* Stored fields, ready made: shared by every answer from one object. */
struct http_block {
    struct http_fields fields;
    struct span lines; /* the same fields as HTTP/1 lines, "name: value\r\n" each */
};

struct http_response {
    uint16_t status;
    enum http_version version;      /* of a response read; writers ignore it */
    const struct http_block *block; /* shared fields, sent first; NULL: none */
    struct http_fields fields;      /* this answer's own */
    int64_t body_bytes;             /* HTTP_LENGTH_UNKNOWN: chunked, or until close */
    bool body_absent;               /* HEAD, 204, 304, 1xx: no body whatever body_bytes says */
    bool length_declared;           /* body_bytes came from, or goes out as, Content-Length */
    bool keep_alive;                /* of a response read over HTTP/1 */
};

enum http_method http_method_find(struct span text);
struct span http_method_text(enum http_method m);   /* empty for HTTP_METHOD_OTHER */
bool http_method_is_safe(enum http_method m);       /* RFC 9110 9.2.1 */
bool http_method_is_idempotent(enum http_method m); /* RFC 9110 9.2.2 */
struct span http_status_text(unsigned status);      /* "Not Found"; empty when unknown */
/* A response without a body by its status (RFC 9110 6.4.1). */
bool http_status_is_bodyless(unsigned status);

/* A small answer of our own: fills `out` with content-type text/plain, cache-control no-store
 * and the body "404 Not Found\n" (*out_body, in the arena). False when the arena is full. */
bool http_answer(struct http_response *out, struct arena *a, unsigned status,
                 struct span *out_body);
