#include "cluster/inbox.h"

#include <stdlib.h>

#include "cluster/swim.h"

struct cluster_inbox_message {
    STAILQ_ENTRY(cluster_inbox_message) link;
    struct addr from;
    size_t len;
    char bytes[];
};

void cluster_inbox_init(struct cluster_inbox *b)
{
    *b = (struct cluster_inbox){0};
    STAILQ_INIT(&b->messages);
}

static struct cluster_inbox_message *take_first(struct cluster_inbox *b)
{
    struct cluster_inbox_message *m = STAILQ_FIRST(&b->messages);
    if (m) {
        STAILQ_REMOVE_HEAD(&b->messages, link);
        b->count--;
        b->bytes -= m->len;
    }
    return m;
}

void cluster_inbox_fini(struct cluster_inbox *b)
{
    for (struct cluster_inbox_message *m; (m = take_first(b));)
        free(m);
    free(b->taken);
}

uint32_t cluster_inbox_put(struct cluster_inbox *b, const struct addr *from, struct span bytes)
{
    uint32_t dropped = 0;
    if (bytes.len > CLUSTER_SWIM_INBOX_BYTES)
        return 1;
    for (; b->count == CLUSTER_SWIM_INBOX || b->bytes + bytes.len > CLUSTER_SWIM_INBOX_BYTES;
         dropped++)
        free(take_first(b));
    struct cluster_inbox_message *m = must_alloc(sizeof(*m) + bytes.len);
    m->from = *from;
    m->len = bytes.len;
    if (bytes.len > 0)
        memcpy(m->bytes, bytes.ptr, bytes.len);
    STAILQ_INSERT_TAIL(&b->messages, m, link);
    b->count++;
    b->bytes += m->len;
    return dropped;
}

bool cluster_inbox_take(struct cluster_inbox *b, struct addr *out_from, struct span *out_bytes)
{
    free(b->taken);
    b->taken = take_first(b);
    if (!b->taken)
        return false;
    *out_from = b->taken->from;
    *out_bytes = span_of(b->taken->bytes, b->taken->len);
    return true;
}
