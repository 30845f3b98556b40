/* tests/sim/net.h - the bad network between simulated nodes: who reaches whom, what gets lost,
 * how long the rest takes.
 *
 * Nodes live in regions (a node's number modulo their count) with a delay for each pair of
 * them, drawn anew for each packet, so that packets overtake each other. Each node's link has
 * bursts of loss at times that its number, the seed and the clock say.
 *
 * Units:  *_us of the virtual clock; *_ppm parts per million.
 * Limits: NET_REGIONS; burst_us <= burst_every_us / 2.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define NET_REGIONS 4u

struct net_delay { /* one way, uniform */
    int64_t min_us, max_us;
};

struct net_conf {
    uint32_t regions;                                 /* >= 1 */
    struct net_delay delay[NET_REGIONS][NET_REGIONS]; /* from, to */
    uint32_t loss_ppm, double_ppm;
    uint32_t late_ppm; /* so many come late_us later: what is sent after them overtakes them */
    int64_t late_us;
    int64_t burst_every_us, burst_us; /* 0: none; once in _every a burst of burst_us about */
    uint32_t burst_loss_ppm;          /* then, to and from that node */
};

struct net;

struct net *net_create(const struct net_conf *conf, uint32_t nodes, uint64_t seed);
void net_destroy(struct net *n);
void net_group(struct net *n, uint32_t node, uint32_t group); /* only equals talk; first: 0 */
uint32_t net_group_of(const struct net *n, uint32_t node);
void net_cut(struct net *n, uint32_t from, uint32_t to, bool cut); /* in this direction */

/* Is there a way? The nodes may be any numbers. */
bool net_reaches(const struct net *n, uint32_t from, uint32_t to);
bool net_loses(struct net *n, uint32_t from, uint32_t to, int64_t at_us); /* chance, bursts */
bool net_doubles(struct net *n);
int64_t net_delay_us(struct net *n, uint32_t from, uint32_t to);
