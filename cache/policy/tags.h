/* cache/policy/tags.h - the names an object is purged by.
 *
 * From the fields a site configures: Surrogate-Key and xkey (separated by spaces), Cache-Tag
 * and X-Magento-Tags (by commas), Cache-Groups (RFC 9875: a structured list of strings; an
 * invalid one is ignored as a whole); any other name: by commas and spaces.
 *
 * Thread: any. Owns: nothing; the list lies in the arena, tags are borrowed from the fields or
 * lie there too.
 * Limits: POLICY_TAGS_MAX tags, POLICY_TAGS_BYTES of field values. Over them ERR_LIMIT: the
 * response must not be stored (tags cut silently would make purges miss it).
 */
#pragma once

#include "base/http/fields.h"
#include "conf/conf.h"

#define POLICY_TAGS_MAX 64
#define POLICY_TAGS_BYTES 65536

struct policy_tags {
    struct span at[POLICY_TAGS_MAX]; /* each once */
    uint32_t count;
    uint64_t groups; /* bit i: at[i] is one of Cache-Groups */
};

/* The strings of one field value as RFC 9875 has it: Cache-Groups, Cache-Group-Invalidation. An
 * invalid one has none. */
NODISCARD enum err policy_tags_groups(struct span value, struct arena *a,
                                      struct policy_tags *out);
NODISCARD enum err policy_tags(const struct http_fields *f, const struct conf_texts *names,
                               struct arena *a, struct policy_tags *out);
