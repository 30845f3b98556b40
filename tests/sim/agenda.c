#include "tests/sim/agenda.h"

#include <stdlib.h>

static bool earlier(const struct event *a, const struct event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

void agenda_put_back(struct agenda *a, struct event e)
{
    if (a->count == a->room) {
        a->room = a->room ? a->room * 2 : 1024;
        a->heap = must_realloc(a->heap, a->room * sizeof(e));
    }
    size_t i = a->count++;
    for (; i > 0 && earlier(&e, &a->heap[(i - 1) / 2]); i = (i - 1) / 2)
        a->heap[i] = a->heap[(i - 1) / 2];
    a->heap[i] = e;
}

uint64_t agenda_add(struct agenda *a, struct event e)
{
    e.order = a->orders++;
    agenda_put_back(a, e);
    return e.order;
}

struct event agenda_take(struct agenda *a)
{
    must(a->count > 0);
    struct event first = a->heap[0];
    struct event e = a->heap[--a->count];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < a->count; i = child) {
        if (child + 1 < a->count && earlier(&a->heap[child + 1], &a->heap[child]))
            child++;
        if (!earlier(&a->heap[child], &e))
            break;
        a->heap[i] = a->heap[child];
    }
    a->heap[i] = e;
    return first;
}

void agenda_fini(struct agenda *a)
{
    free(a->heap);
    *a = (struct agenda){0};
}
