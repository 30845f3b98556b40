/* cache/cache.h - the front door of the cache: open, tick, purge, figures, close.
 *
 * An exchange only reads from the cache (lookup.h, memory/reader.h), a fetch only writes into
 * it (intake.h); they meet in memory/fill.h. A failing or absent disk is never an error to a
 * client: objects are then kept in RAM or let go.
 *
 * Thread: open, close, tick, purge and info by control; everything else by any worker.
 */
#pragma once

#include "base/letter.h"
#include "base/purge.h"
#include "cache/memory/sweep.h"
#include "conf/conf.h"

struct cache;
struct cache_conf {
    const struct conf_cache *cache; /* borrowed until open returns */
    const char *path;               /* folder of the disk tier; "" = RAM only */
    uint64_t purge_boot_no;         /* the purge log's stored boot number; the larger counts */
    struct span purge_log_id;       /* 16 bytes; another id than the stored one, or none stored:
                                     * everything in the store must be revalidated */
    struct letter_mailbox *control; /* completions that control must see */
    /* An answer to an unsafe method made these unusable here, under that number: a URL or a
     * group. By any worker; borrowed. NULL: nobody hears of it. */
    void (*invalidated)(void *user, const struct purge *p, uint64_t apply_no);
    void *user;
    unsigned reader_threads; /* 0: default */
    struct memory_sweep_confs confs;
};

/* ERR_REFUSED: the folder belongs to a running process (logged clearly). A store that cannot
 * be used otherwise is logged and the cache runs from RAM. */
NODISCARD enum err cache_open(const struct cache_conf *conf, struct cache **out);
/* Waits for what is queued, syncs, writes the index snapshot. NULL ok. */
void cache_close(struct cache *c);

/* Numbers (docs/purge.md). boot_no was synced before open returned. */
uint64_t cache_boot_no(const struct cache *c);
uint64_t cache_apply_no_next(struct cache *c); /* control only: the next apply_no to give */
uint64_t cache_apply_no_step(struct cache *c); /* one of its own for no purge */

/* Makes what the purge names unusable, at once, for every worker: slot first, then the clock.
 * Control. `apply_no` comes from cache_apply_no_next, or from the log at start (before the
 * first lookup). `selector` is raw; it is normalised here by the sites of `conf`. ERR_SYNTAX:
 * not applicable under this configuration (told to the caller, harmless). */
NODISCARD enum err cache_purge(struct cache *c, const struct purge *p, uint64_t apply_no,
                               const struct conf *conf);
/* The two halves of cache_purge: what a purge names under `conf`, allocated in `a`, the strings
 * of `p` borrowed (NULL: ERR_SYNTAX or ERR_LIMIT in *out_err), and that put in effect. */
struct memory_purge *cache_purge_read(const struct purge *p, const struct conf *conf,
                                      struct arena *a, enum err *out_err);
void cache_purge_apply(struct cache *c, const struct memory_purge *named, uint64_t apply_no);
/* A purge that is allowed, before control knows of it: in effect as what an unsafe method
 * invalidates, neither numbered nor logged. cache_purge must follow. Any thread. */
void cache_purge_ahead(struct cache *c, const struct purge *p, const struct conf *conf,
                       struct arena *a);
/* While this node may not know all purges (docs/purge.md, "Coming back"): what was sent for up
 * to now is validated before it is used, as after a soft purge of everything; off: trusted
 * again, but for what purges say. On again: what came meanwhile, too. Control; a lookup
 * compares one number. */
void cache_set_caution(struct cache *c, bool on);
/* When cache_tick has not come for so long, nothing is taken for fresh: this process stood
 * still and does not know yet what it missed. 0: off. */
void cache_watch(struct cache *c, int64_t max_ms);
/* As cache_purge, but the number is told to `numbered` after it was taken and before the purge
 * takes effect (cluster/purge_recent.h). A number is taken and told also with ERR_SYNTAX, of a
 * purge that names nothing here. */
NODISCARD enum err cache_purge_numbered(struct cache *c, const struct purge *p,
                                        const struct conf *conf,
                                        void (*numbered)(void *user, uint64_t apply_no),
                                        void *user, uint64_t *out_apply_no);
/* Another configuration, by which an object may be of another site: before its purges. */
void cache_rename(struct cache *c);
/* Names purged from this number on stay known, though no object here needs them: a peer's
 * answer may have them (cache/intake.h). 0: none. Control, before cache_tick. */
void cache_keep_purges(struct cache *c, uint64_t from);
/* No object that a purge with a number up to this one names is left anywhere, but for those of
 * everything, which stay in effect. */
uint64_t cache_purges_swept(const struct cache *c);
/* How many known objects these purges together would name (dry_run); what names nothing under
 * `conf` counts nothing. May take long: background thread. */
uint64_t cache_purge_count(struct cache *c, const struct purge *purges, uint32_t purge_count,
                           const struct conf *conf);

/* Housekeeping: sweep, expiry wheel, reader check. About every 100 ms. */
void cache_tick(struct cache *c, int64_t now_ms, int64_t now_s);

struct cache_figures {
    uint64_t objects, objects_in_memory, memory_bytes, memory_max_bytes;
    uint64_t disk_pages_used, disk_pages_last, disk_pages_max, disk_page_bytes;
    uint64_t queue_bytes, fills, purge_names, apply_no;
    uint64_t oldest_reader_ms, last_batch_ms;
    uint64_t encoder_waiting, encoder_cpu_us;
    bool disk_on, scanning;
};
/* A reload: how much the encoders may do. */
void cache_set_variants(struct cache *c, const struct conf_variants *conf);
void cache_figures(struct cache *c, struct cache_figures *out);

/* What is stored for one URL (GET /v1/cache): each variant told to the function. */
struct cache_variant_info {
    struct span key, vary; /* key text; the variant's secondary key, empty: none */
    unsigned status;
    int64_t age_s, fresh_left_s, body_bytes;
    uint64_t fill_no;
    struct span etag;
    unsigned tag_count;
    const char *tier;  /* "memory", "disk", "filling" */
    const char *state; /* "fresh", "stale", "purged" */
    uint64_t hits;
    struct cache_form_info {
        struct span encoding; /* "identity", "gzip", ... */
        int64_t bytes;        /* HTTP_LENGTH_UNKNOWN: not known yet */
        bool made;            /* here; else as received */
        const char *tier;
    } forms[4];          /* the one received first */
    unsigned form_count; /* 0: not known, as of an object that is only on disk */
};
void cache_info(struct cache *c, struct span url, const struct conf *conf, int64_t now_s,
                void (*tell)(void *user, const struct cache_variant_info *v), void *user);
