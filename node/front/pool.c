#include "node/front/pool.h"

#include <stdlib.h>

#define ARENA_BYTES ((size_t)256 * 1024)
#define IDLE_MAX 256u

struct front_exchange *front_exchange_open(struct front *f,
                                           const struct front_exchange_functions *functions,
                                           void *user)
{
    struct front_exchange *x = f->idle_exchanges;
    struct arena arena;
    if (x) {
        f->idle_exchanges = x->next;
        f->idle_count--;
        arena = x->arena;
        arena_reset(&arena);
    } else {
        x = malloc(sizeof(*x));
        if (!x)
            return NULL;
        arena_init(&arena, ARENA_BYTES);
    }
    *x = (struct front_exchange){
        .arena = arena,
        .front = f,
        .functions = functions,
        .user = user,
        .origin = {.server = "", .first_byte_ms = -1},
        .cache_word = "",
    };
    f->exchange_count++;
    return x;
}

void front_exchange_give_back(struct front_exchange *x)
{
    struct front *f = x->front;
    f->exchange_count--;
    if (f->idle_count >= IDLE_MAX) {
        arena_fini(&x->arena);
        free(x);
        return;
    }
    x->state = FRONT_IDLE;
    x->next = f->idle_exchanges;
    f->idle_exchanges = x;
    f->idle_count++;
}

bool front_is_empty(const struct front *f)
{
    return f->session_count == 0 && f->exchange_count == 0 && f->fetches.count == 0 &&
           f->asks_out == 0;
}

void front_fini(struct front *f)
{
    must(f->exchange_count == 0);
    while (f->idle_exchanges) {
        struct front_exchange *x = f->idle_exchanges;
        f->idle_exchanges = x->next;
        arena_fini(&x->arena);
        free(x);
    }
    f->idle_count = 0;
    origin_peers_drop(f->peers);
    front_vector_drop(f->vector);
}
