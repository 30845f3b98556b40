/* tests/purge_sim/gossip.h - real gossip beneath the purge machines.
 *
 * The nodes of tests/sim (SWIM, Serf and all they need, with loss, delay and cuts), one for
 * each that purges, in step with fleet.h's clock. What they hear goes to the purge machines as
 * node would give it to them; what those want to hint is fired as a user event.
 *
 * Units: *_us of the virtual clock. News come from within gossip_run; they may call nothing
 * here.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

struct gossip_conf {
    uint32_t nodes, loss_percent;
    uint64_t seed;
    int64_t delay_min_us, delay_max_us;
};
struct gossip_news {
    void *user;
    /* Alive, or failed. */
    void (*member)(void *user, uint32_t at, uint32_t about, bool alive);
    void (*event)(void *user, uint32_t at, struct span name, struct span payload,
                  uint64_t ltime, bool replayed);
};
struct gossip;
struct gossip *gossip_create(const struct gossip_conf *conf, const struct gossip_news *news);
void gossip_destroy(struct gossip *g); /* NULL ok */
void gossip_run(struct gossip *g, int64_t for_us);
void gossip_crash(struct gossip *g, uint32_t node);
void gossip_start(struct gossip *g, uint32_t node);                /* after a crash */
void gossip_hold(struct gossip *g, uint32_t node, int64_t for_us); /* as by SIGSTOP */
void gossip_cut(struct gossip *g, uint32_t from, uint32_t to, bool cut);
void gossip_fire(struct gossip *g, uint32_t node, struct span name, struct span payload);
