/* cache/memory/epoch.h - when was each name purged; is this object older?
 *
 * One table of purged names (url, path, tag, group, directory, host, all; each for every site
 * or for one) with the number of their last hard and soft purge. An object is purged when a
 * name of its own has a higher number than the counter had when its fetch was sent (fill_no).
 * Effect is immediate and costs one slot, whatever the number of objects.
 *
 * Order of publication: slot first, then the version; readers load the version first, then
 * probe, then memoise that version. The other order loses a purge for good.
 *
 * Numbers: boot_no << 40 | n. memory_epoch_reserve gives control a number for a purge that is
 * about to be logged; workers take one by themselves for invalidations (RFC 9111 4.4). While a
 * reserved number has not been applied, fills are given a fill_no below it: what was sent
 * before the purge took effect stays older than it, in whatever order numbers are applied.
 *
 * Thread: check, now, tag by any, without a lock (one for arbitrary prefixes, when there are
 *         any); reserve by control; applying by any (one mutex among writers).
 * Limits: MEMORY_EPOCH_NAMES names, then everything is purged instead;
 *         MEMORY_EPOCH_PREFIXES prefixes that are no directory, then their directory;
 *         MEMORY_EPOCH_DIRS directories a URL, a deeper one is purged by its ancestor. Each is
 *         as hard as it was said, and counted as widened.
 */
#pragma once

#include <stdatomic.h>

#include "base/hash.h"
#include "base/purge.h"

#define MEMORY_EPOCH_NAMES (4u << 20)
#define MEMORY_EPOCH_PREFIXES 256
#define MEMORY_EPOCH_DIRS 32
#define MEMORY_EPOCH_RESERVED 64

enum memory_purged { MEMORY_PURGED_NOT, MEMORY_PURGED_SOFT, MEMORY_PURGED_HARD };

struct memory_names { /* by which an object can be purged */
    struct span url;  /* "host/path?query" */
    struct span host; /* without port */
    struct span path_query;
    struct span site;     /* empty: unknown, purges for one site are not seen */
    const uint64_t *tags; /* memory_epoch_tag */
    uint32_t tag_count;
    bool without_all; /* purges of everything do not count */
};

/* A purge with its names already in the form above (policy/key.h). */
struct memory_purge {
    enum purge_kind kind;
    enum purge_mode mode;
    struct span site; /* empty: all */
    const struct span *names;
    uint32_t name_count;
};

struct memory_epoch;
struct memory_epoch *memory_epoch_create(const struct hash_key *key, uint64_t boot_no);
void memory_epoch_destroy(struct memory_epoch *e); /* NULL ok */

uint64_t memory_epoch_reserve(struct memory_epoch *e);
/* `apply_no` was reserved, or comes from the log of an earlier start. */
void memory_epoch_apply(struct memory_epoch *e, const struct memory_purge *p,
                        uint64_t apply_no);
/* With the next number of its own, which is returned. */
uint64_t memory_epoch_apply_now(struct memory_epoch *e, const struct memory_purge *p);
/* A reserved number that names nothing here. */
void memory_epoch_skip(struct memory_epoch *e, uint64_t apply_no);
/* The fill_no of a fetch that is sent now. */
uint64_t memory_epoch_now(const struct memory_epoch *e);
/* A number of its own for no purge: what was sent before has a lower fill_no, what is sent from
 * now on none below it (but while an earlier number is reserved). */
uint64_t memory_epoch_step(struct memory_epoch *e);

/* A name that objects bear. A group (RFC 9875) is a tag, too; one bit tells which may be taken
 * by a purge of PURGE_GROUP, whose name is "host group". */
#define MEMORY_EPOCH_GROUP UINT64_C(1)
uint64_t memory_epoch_tag(const struct memory_epoch *e, struct span tag, bool group);
/* `memo` (may be NULL) remembers the version at which nothing matched. */
enum memory_purged memory_epoch_check(struct memory_epoch *e, const struct memory_names *n,
                                      uint64_t fill_no, atomic_ullong *memo);
/* Names whose numbers are all <= `no` leave: nothing older than `no` that they match is left
 * anywhere, on disk neither (docs/purge.md, Fences). Purges of everything stay; names for one
 * site, too, unless `sites`: whoever swept knew each object's site. None leaves when there was
 * a _rename since `renames`. How many left. */
unsigned memory_epoch_forget(struct memory_epoch *e, uint64_t no, uint64_t renames, bool sites);
/* Another configuration, whose names are put in effect after this: a pass that began before
 * has not looked for them. */
void memory_epoch_rename(struct memory_epoch *e);
uint64_t memory_epoch_renames(const struct memory_epoch *e);
/* Names with a number from this one on do not leave (0: none is kept). */
void memory_epoch_keep(struct memory_epoch *e, uint64_t from);
/* Names with numbers up to this one may have left. To be asked after a check that found
 * nothing, where what lies elsewhere counts, too. */
uint64_t memory_epoch_forgotten(const struct memory_epoch *e);
/* No purge with a number up to this one is needed any more, but those of everything. */
uint64_t memory_epoch_swept(const struct memory_epoch *e);

struct memory_epoch_figures {
    uint64_t names, prefixes, apply_no;
    uint64_t scoped; /* of names and prefixes: those for one site */
};
void memory_epoch_figures(const struct memory_epoch *e, struct memory_epoch_figures *out);
/* Does the purge name it? For counting; no numbers. */
bool memory_epoch_matches(const struct memory_epoch *e, const struct memory_purge *p,
                          const struct memory_names *n);
