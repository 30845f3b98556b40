/* tests/sim/agenda.h - what will happen in the virtual world, the earliest first.
 *
 * A heap by (time, order): what was added first comes first at the same time, so that the same
 * calls give the same sequence.
 *
 * Units: *_us of the virtual clock. Owns: nothing that its events point to.
 */
#pragma once

#include "base/span.h"

struct pipe;

enum event_kind {
    EVENT_TIMER,
    EVENT_START,
    EVENT_JOIN,
    EVENT_PACKET,
    EVENT_CONNECT, /* of a stream, with its first bytes */
    EVENT_BYTES,
    EVENT_END,
};

struct event {
    int64_t at_us;
    uint64_t order;          /* set by agenda_add */
    uint8_t kind;            /* enum event_kind */
    uint8_t from_home, home; /* packets and connections: from which address to which */
    uint32_t node, from;
    struct pipe *pipe;
    char *bytes;
    uint32_t len;
};

struct agenda {
    struct event *heap;
    size_t count, room;
    uint64_t orders;
};

uint64_t agenda_add(struct agenda *a, struct event e);  /* returns its order */
void agenda_put_back(struct agenda *a, struct event e); /* with the order that it has */
struct event agenda_take(struct agenda *a);             /* count > 0 */
void agenda_fini(struct agenda *a);
