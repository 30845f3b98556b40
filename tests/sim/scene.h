/* tests/sim/scene.h - what scenarios share: a world, and a watch over who is said to be dead.
 *
 * Each scenario prints one line of figures (and one of counters), and says whether what must
 * hold holds.
 */
#pragma once

#include "tests/sim/world.h"

#define MS INT64_C(1000)
#define SECOND (1000 * MS)
#define NOBODY UINT32_MAX

struct scene {
    struct world *world;
    uint32_t nodes;
    uint32_t awaited;          /* the node whose death is to be told; NOBODY */
    int64_t first_us, last_us; /* of that being known */
    uint32_t knowing;          /* nodes that know */
    uint32_t anomalous;        /* nodes 1.. that are not well */
    uint64_t wrong;            /* nodes said dead that are up and not cut off */
    uint64_t wrong_about_well; /* of these: about a node that is well (Lifeguard's FP) */
    uint64_t wrong_well;       /* and told to one that is well, too (its FP-) */
    void *user;                /* of event */
    void (*event)(struct scene *s, uint32_t at, const struct cluster_event *event);
};

struct world_conf scene_conf(uint32_t nodes, uint32_t loss_percent, uint64_t seed);
void scene_delay(struct world_conf *conf, int64_t min_us, int64_t max_us); /* everywhere */
/* Three regions as far from each other as Europe, America and Asia. */
void scene_regions(struct world_conf *conf);
/* All nodes start and join; false (and said so): they do not agree within 5 minutes. */
bool scene_open(struct scene *s, const struct world_conf *conf);
void scene_close(struct scene *s);
/* Seconds until `up` nodes agree; -1: not within max_s. */
int64_t scene_settle(struct scene *s, uint32_t up, int64_t max_s);
void scene_crash(struct scene *s, uint32_t node); /* and its death is awaited */
/* Seconds until all others know it; -1: not within max_s. */
int64_t scene_await(struct scene *s, int64_t max_s);
bool scene_expect(bool holds, const char *what);
void scene_counters(const struct scene *s);

/* scene_life.c */
bool scene_loss(uint32_t nodes, uint32_t percent, int64_t seconds, uint64_t seed);
bool scene_death(uint32_t nodes, uint32_t percent, uint64_t seed);
bool scene_anomaly(uint32_t nodes, uint32_t paused, int64_t ms, int64_t seconds, uint64_t seed,
                   bool lifeguard);
bool scene_partition(uint32_t nodes, uint32_t percent, int64_t seconds, uint64_t seed);
bool scene_move(uint32_t nodes, uint32_t percent, uint64_t seed);
bool scene_rough(uint32_t nodes, uint32_t percent, int64_t seconds, uint64_t seed);

/* scene_talk.c */
bool scene_idle(uint32_t nodes, int64_t seconds, uint64_t seed, bool sealed);
bool scene_event(uint32_t nodes, uint32_t percent, uint64_t seed);
bool scene_calibrate(int64_t delay_min_us, int64_t delay_max_us, uint64_t seed, bool sealed);

/* scene_story.c: a bad quarter of an hour, twice and once more with another seed. */
bool scene_check(void);
