/* cache/policy/validate.h - asking "still the same?" and merging the 304.
 *
 * RFC 9111 3.2, 4.3.1, 4.3.3-4.3.5. The caller re-derives facts from the merged fields with
 * policy_control_response.
 *
 * Thread: any. Owns: nothing; lists grow in the arena, values are borrowed from both inputs.
 */
#pragma once

#include "base/http/message.h"

/* Has the stored response an ETag or a valid Last-Modified? */
bool policy_validate_possible(const struct http_fields *stored);
/* Replaces the client's own conditionals in `request` by ones about the stored response:
 * If-None-Match and If-Modified-Since. False: arena full. */
bool policy_validate_ask(const struct http_fields *stored, struct http_fields *request,
                         struct arena *a);
/* Does a 304 that answered that question speak about the stored response? A strong validator
 * in it must match, a weak one weakly, Last-Modified when there is no ETag; without any
 * validator it does. */
bool policy_validate_matches(const struct http_fields *stored,
                             const struct http_fields *not_modified);
/* Stored fields updated by a 304's: each field name in it replaces all stored lines of that
 * name, but Content-Length, Content-Encoding, Content-Range, Transfer-Encoding and hop-by-hop
 * ones. A 304 without a valid Date gets `now_s` (else the object would look as old as its
 * first answer). *out starts empty. False: arena full. */
bool policy_validate_merge(const struct http_fields *stored,
                           const struct http_fields *not_modified, int64_t now_s,
                           struct arena *a, struct http_fields *out);

enum policy_head {
    POLICY_HEAD_UPDATES,  /* same validators and length: merge as with a 304 */
    POLICY_HEAD_OUTDATES, /* differs: the stored response must be validated before use */
    POLICY_HEAD_NOTHING,  /* not a 200, or of another encoding: says nothing */
};
/* RFC 9111 4.3.5: what a HEAD's answer says about a stored GET response. */
enum policy_head policy_validate_head(const struct http_fields *stored, int64_t stored_bytes,
                                      const struct http_response *head);
