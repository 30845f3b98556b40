/* cluster/roster.h - the nodes as Serf lists them: also those that left or failed long ago.
 *
 * The swim forgets the dead after seconds; here they stay as tombstones. While a node is in
 * the swim's table and alive, name, meta and address are read there; when it goes they are
 * copied. Each entry has the Lamport time of the last intent about it.
 *
 * Units:  *_us of one monotonic clock.
 * Thread: control. Owns: the entries; a pointer lives until that entry is dropped.
 * Limits: entries_max; over it the entry that is gone for longest makes room.
 */
#pragma once

#include "cluster/health.h"
#include "cluster/swim.h"

enum cluster_status {
    CLUSTER_STATUS_NONE,
    CLUSTER_STATUS_ALIVE,
    CLUSTER_STATUS_LEAVING,
    CLUSTER_STATUS_LEFT,
    CLUSTER_STATUS_FAILED,
    CLUSTER_STATUSES,
};
const char *cluster_status_text(enum cluster_status status); /* "alive": as `serf members` */

struct cluster_coordinate_peer;

struct cluster_entry {
    uint64_t id;                         /* cluster_members_id of its name */
    uint64_t ltime;                      /* of the last intent that was believed */
    const struct cluster_member *member; /* while alive or leaving; else NULL */
    char *text;                          /* while gone: name, then meta */
    struct addr addr;                    /* while gone */
    uint16_t meta_bytes;
    uint8_t name_bytes;
    uint8_t status;                             /* enum cluster_status */
    uint32_t at;                                /* in the roster's list */
    int64_t since_us;                           /* of `status` */
    struct cluster_coordinate_peer *coordinate; /* owned; NULL: it never told one */
    int32_t rtt_own_us;                         /* smoothed over own probes; -1: none */
    bool prune;                                 /* to be dropped once it is gone */
    bool has_health;
    struct cluster_health health;
    uint64_t health_ltime;
};

struct cluster_roster;

struct span cluster_entry_name(const struct cluster_entry *e);
struct span cluster_entry_meta(const struct cluster_entry *e);
const struct addr *cluster_entry_addr(const struct cluster_entry *e);
static inline bool cluster_entry_gone(const struct cluster_entry *e)
{
    return e->status == CLUSTER_STATUS_LEFT || e->status == CLUSTER_STATUS_FAILED;
}

struct cluster_roster *cluster_roster_create(uint32_t entries_max);
void cluster_roster_destroy(struct cluster_roster *r);
uint32_t cluster_roster_count(const struct cluster_roster *r);
uint64_t cluster_roster_changes(const struct cluster_roster *r); /* of any status, so far */
uint32_t cluster_roster_count_of(const struct cluster_roster *r, enum cluster_status status);
/* index < count; the order changes when entries are added or dropped. */
struct cluster_entry *cluster_roster_at(const struct cluster_roster *r, uint32_t index);
struct cluster_entry *cluster_roster_find(const struct cluster_roster *r, uint64_t id,
                                          struct span name);
/* A member that is not listed. NULL: full of nodes that are not gone. */
struct cluster_entry *cluster_roster_add(struct cluster_roster *r,
                                         const struct cluster_member *m, int64_t now_us);
/* Another status. To be gone copies what the member tells; `m` is needed for not to be gone. */
void cluster_roster_set(struct cluster_roster *r, struct cluster_entry *e,
                        enum cluster_status status, const struct cluster_member *m,
                        int64_t now_us);
void cluster_roster_drop(struct cluster_roster *r, struct cluster_entry *e);
