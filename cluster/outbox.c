#include "cluster/outbox.h"

#include <stdlib.h>

#define KEEP_BYTES ((size_t)64 << 10) /* memory kept when empty; a push/pull may be larger */

void cluster_outbox_fini(struct cluster_outbox *o)
{
    buf_fini(&o->bytes);
    free(o->entry);
}

static void empty(struct cluster_outbox *o)
{
    o->next = o->count = 0;
    if (buf_len(&o->bytes) > KEEP_BYTES)
        buf_release(&o->bytes);
    else
        buf_clear(&o->bytes);
}

bool cluster_outbox_put(struct cluster_outbox *o, enum cluster_swim_do what, uint32_t stream,
                        const struct addr *to, struct span bytes)
{
    if (o->next == o->count)
        empty(o);
    if (what == CLUSTER_SWIM_SEND && o->count - o->next >= CLUSTER_SWIM_OUTBOX)
        return false;
    if (o->count == o->room) {
        o->room = o->room ? o->room * 2 : 8;
        o->entry = must_realloc(o->entry, o->room * sizeof(*o->entry));
    }
    size_t from = buf_len(&o->bytes);
    must(buf_append(&o->bytes, bytes) == ERR_OK);
    o->entry[o->count++] = (struct cluster_outbox_entry){
        .what = what,
        .stream = stream,
        .to = to ? *to : (struct addr){0},
        .from = from,
        .len = bytes.len,
    };
    return true;
}

bool cluster_outbox_next(struct cluster_outbox *o, struct cluster_swim_output *out)
{
    if (o->next == o->count) {
        empty(o);
        return false;
    }
    const struct cluster_outbox_entry *e = &o->entry[o->next++];
    *out = (struct cluster_swim_output){
        .what = e->what,
        .stream = e->stream,
        .to = e->to,
        .bytes = e->len ? span_of(buf_span(&o->bytes).ptr + e->from, e->len) : (struct span){0},
    };
    return true;
}
