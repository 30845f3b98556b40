/* base/purge.h - what a purge says: kind, mode, selector; its name in the table.
 *
 * The word that admin, cluster and cache share. Selectors are raw, as the caller gave them;
 * cache normalises URLs by this node's configuration (design: keys differ during a rollout).
 * Thread: any. Limits: a selector is at most PURGE_SELECTOR_MAX bytes, a site 255.
 */
#pragma once

#include "base/span.h"

#define PURGE_SELECTOR_MAX 8192
#define PURGE_SITE_MAX 255

enum purge_kind {
    PURGE_URL = 1, /* http://host/path?query; purges http and https */
    PURGE_PATH,    /* /path?query on any host */
    PURGE_TAG,
    PURGE_PREFIX, /* [scheme://]host/path, at a '/' boundary when it ends in '/' */
    PURGE_HOST,
    PURGE_ALL,
    PURGE_GROUP, /* "host group" (RFC 9875): by hints alone, no log or API has it */
};
enum purge_mode { PURGE_HARD = 1, PURGE_SOFT };

struct purge {
    enum purge_kind kind;
    enum purge_mode mode;
    struct span selector; /* borrowed; empty for PURGE_ALL */
    struct span site;     /* borrowed; empty: every site */
};

const char *purge_kind_text(enum purge_kind kind); /* "url", ... static */
bool purge_kind_parse(struct span text, enum purge_kind *out);
const char *purge_mode_text(enum purge_mode mode); /* "hard", "soft" */
bool purge_mode_parse(struct span text, enum purge_mode *out);
/* Is the selector possible at all: length, no control octets, the kind's shape? */
NODISCARD enum err purge_check(const struct purge *p);      /* ERR_SYNTAX, ERR_LIMIT */
NODISCARD enum err purge_check_hint(const struct purge *p); /* PURGE_GROUP may be, too */
