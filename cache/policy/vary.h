/* cache/policy/vary.h - secondary keys from Vary.
 *
 * RFC 9111 4.1. The names of a response's Vary lines become one text, "accept-language,foo":
 * lower case, sorted, each once. Under those names a request has a secondary key, one line per
 * name; two requests match when their keys are equal bytes. Values are joined over lines,
 * white space around commas and empty members gone; absent differs from empty.
 * Accept-Language: no case, order ignored where the quality is equal. Accept-Encoding is none
 * of the names: one object has all encodings (cache/policy/encoding.h).
 *
 * Thread: any. Owns: nothing; text goes into the arena.
 * Limits: POLICY_VARY_NAMES names.
 */
#pragma once

#include "base/http/fields.h"

#define POLICY_VARY_NAMES 16

/* Is there "*", more names than the cap, or a member that is no field name? Never reused. */
bool policy_vary_refuses(const struct http_fields *response);
/* *out_names is empty without Vary, or one that names Accept-Encoding alone. ERR_REFUSED:
 * policy_vary_refuses. ERR_LIMIT: arena full. */
NODISCARD enum err policy_vary_names(const struct http_fields *response, struct arena *a,
                                     struct span *out_names);
/* `names` comes from policy_vary_names; empty gives an empty key. ERR_LIMIT: arena full. */
NODISCARD enum err policy_vary_key(struct span names, const struct http_fields *request,
                                   struct arena *a, struct span *out_key);
