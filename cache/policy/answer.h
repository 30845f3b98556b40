/* cache/policy/answer.h - a stored response as the answer to this request.
 *
 * RFC 9110 13 (conditions, in the order of 13.2.2), 14.2 (Range), 13.1.5 (If-Range, strong
 * only). For GET and HEAD. Conditions count for a stored 2xx only, ranges for a stored 200
 * only and only with GET. With no Last-Modified, If-Modified-Since is compared with Date.
 * What is stored may have several forms (encoding.h): conditions that guard a change are about
 * the object as received, If-None-Match is about any form that the client may use.
 *
 * Thread: any. Owns: nothing; fields go into the arena.
 */
#pragma once

#include "base/http/message.h"
#include "cache/policy/encoding.h"
#include "cache/policy/range.h"

enum policy_answer_kind {
    POLICY_ANSWER_WHOLE,               /* the stored status and body */
    POLICY_ANSWER_RANGE,               /* 206 of ranges.at[0] */
    POLICY_ANSWER_RANGES,              /* 206 multipart/byteranges of `ranges` */
    POLICY_ANSWER_NOT_MODIFIED,        /* 304 */
    POLICY_ANSWER_PRECONDITION_FAILED, /* 412 */
    POLICY_ANSWER_UNSATISFIABLE,       /* 416 */
};

struct policy_answer {
    enum policy_answer_kind kind;
    struct policy_ranges ranges;
    struct span etag; /* that a 304 must carry: of another form; empty: the stored one */
};

struct policy_stored {
    unsigned status;
    const struct http_fields *fields; /* of the form that this client gets */
    int64_t body_bytes; /* HTTP_LENGTH_UNKNOWN while one of unknown length arrives: no ranges */
    struct span base_etag;     /* of what was received; empty: `fields` are the object's own */
    enum policy_encoding base; /* coding of what was received */
    const struct policy_accept *accept; /* NULL: there are no forms beside it */
    bool is_made;                       /* the form was made here: no ranges */
};

void policy_answer_plan(const struct http_request *r, const struct policy_stored *s,
                        struct policy_answer *out);
/* The stored fields that go into a 304: Cache-Control, Content-Location, Date, ETag, Expires,
 * Vary; Last-Modified when there is no ETag. Appended. `etag`, if not empty, stands in for the
 * stored one (policy_answer.etag). False: arena full. */
bool policy_answer_fields_304(const struct http_fields *stored, struct span etag,
                              struct arena *a, struct http_fields *out);
