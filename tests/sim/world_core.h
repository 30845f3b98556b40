/* tests/sim/world_core.h - the inside of the world, for the files world*.c alone.
 *
 * world.c has the nodes, their clocks and what happens to them; world_send.c brings what they
 * send on its way.
 */
#pragma once

#include "tests/sim/agenda.h"
#include "tests/sim/world.h"

#define WORLD_SECOND INT64_C(1000000)

/* A stream; each side has a number for it, 0 when it is over there. */
struct pipe {
    uint32_t node[2], number[2];
    int64_t last_us[2]; /* nothing overtakes on the way to that side */
    unsigned holders;   /* events and lists that point here */
};

struct node {
    struct world *world;
    struct cluster *cluster;
    char name[16];
    uint8_t home; /* its address is the home-th that it has */
    uint32_t starts;
    int32_t drift_ppm;
    int64_t paused_until_us, timer_us;
    uint64_t timer;           /* the order of the event at timer_us; others are void */
    uint32_t waiting;         /* packets, while paused */
    bool crashed, timers_run; /* timers_run: though paused */
    struct pipe **pipe;
    unsigned pipes;
    uint64_t *seen; /* a bit for each node that it holds to be alive, but itself */
};

struct world {
    struct world_conf conf;
    struct world_news news;
    struct net *net;
    struct node *node;
    struct agenda agenda;
    int64_t now_us;
    uint64_t hash, happened;
    struct cluster_random random;
};

/* world_send.c */
struct addr world_addr_of(uint32_t node, uint8_t home);
void world_send_all(struct world *w, uint32_t node); /* what it has to send */
/* A side of a stream: known from now on, over. */
void world_pipe_keep(struct node *n, struct pipe *p);
void world_pipe_drop(struct world *w, struct pipe *p, unsigned side);
void world_pipe_release(struct pipe *p);
/* e.pipe to its other side; e needs its kind. */
void world_pipe_send(struct world *w, struct event e, unsigned to, struct span bytes);
