#include "node/seeds_ev.h"

#include <stdlib.h>

#include "base/crypto.h"
#include "base/log.h"
#include "node/io/resolve_ev.h"

#define HOST_BYTES 256
#define ADDRESSES_MAX 16

struct seed {
    struct node_seeds *all;
    char host[HOST_BYTES];
    uint16_t port;
    bool used;    /* this place of the table */
    bool joined;  /* one of its addresses answered, or it is ourselves */
    bool looking; /* its name is looked up */
    struct io_resolve_wait wait;
    struct addr asked[ADDRESSES_MAX]; /* joins under way */
    unsigned asked_count;
    uint32_t tries; /* that failed */
    int64_t due_ms; /* of the next try; 0: none */
};

struct node_seeds {
    struct io_loop *loop;
    struct io_resolver *resolver;
    struct addr own;
    void (*join)(void *user, const struct addr *seed);
    void *user;
    struct io_timer timer;
    struct seed at[NODE_SEEDS_MAX];
    int64_t alone_since_ms; /* 0: not alone */
};

static void set_timer(struct node_seeds *s)
{
    int64_t due_ms = 0;
    for (size_t i = 0; i < NODE_SEEDS_MAX; i++) {
        const struct seed *one = &s->at[i];
        if (one->used && one->due_ms && (!due_ms || one->due_ms < due_ms))
            due_ms = one->due_ms;
    }
    io_timer_set(&s->timer, due_ms);
}

/* Doubled each time, and up to a quarter more, so that nodes that start together do not go on
 * together. */
static int64_t backoff_ms(uint32_t tries)
{
    int64_t wait_ms = NODE_SEEDS_FIRST_MS;
    for (uint32_t i = 1; i < tries && wait_ms < NODE_SEEDS_LAST_MS; i++)
        wait_ms *= 2;
    if (wait_ms > NODE_SEEDS_LAST_MS)
        wait_ms = NODE_SEEDS_LAST_MS;
    return wait_ms + (int64_t)(crypto_random_u64() % (uint64_t)(wait_ms / 4));
}

static void try_later(struct seed *one, const char *why)
{
    one->tries++;
    one->due_ms = one->all->loop->now_ms + backoff_ms(one->tries);
    /* Not each of the tries of a seed that is down for days. */
    if (one->tries <= 3 || one->tries % 20 == 0)
        log_line(LOG_WARN, "join_failed", "seed=%s port=%u tries=%u why=\"%s\"", one->host,
                 one->port, one->tries, why);
}

static void resolved(struct io_resolve_wait *w, enum err e, const struct addr *addrs,
                     unsigned count)
{
    struct seed *one = CONTAINER_OF(w, struct seed, wait);
    struct node_seeds *s = one->all;
    bool own = false;
    one->looking = false;
    one->asked_count = 0;
    for (unsigned i = 0; e == ERR_OK && i < count && i < ADDRESSES_MAX; i++) {
        struct addr a = addrs[i];
        a.port = one->port;
        if (addr_equal(&a, &s->own))
            own = true;
        else
            one->asked[one->asked_count++] = a;
    }
    if (!one->asked_count) {
        one->joined = own;
        if (!own)
            try_later(one, "the name does not resolve");
    }
    /* A copy: an answer from inside changes the list. */
    struct addr asked[ADDRESSES_MAX];
    unsigned asked_count = one->asked_count;
    memcpy(asked, one->asked, sizeof asked);
    for (unsigned i = 0; i < asked_count; i++)
        s->join(s->user, &asked[i]);
    set_timer(s);
}

static void try_seed(struct seed *one)
{
    one->due_ms = 0;
    one->looking = true;
    (void)io_resolve(one->all->resolver, span_text(one->host), &one->wait, resolved);
}

static void on_timer(struct io_timer *t)
{
    struct node_seeds *s = CONTAINER_OF(t, struct node_seeds, timer);
    for (size_t i = 0; i < NODE_SEEDS_MAX; i++) {
        struct seed *one = &s->at[i];
        if (one->used && one->due_ms && one->due_ms <= s->loop->now_ms && !one->looking)
            try_seed(one);
    }
    set_timer(s);
}

struct node_seeds *node_seeds_create(struct io_loop *loop, const struct addr *own,
                                     void (*join)(void *user, const struct addr *seed),
                                     void *user)
{
    struct node_seeds *s = must_alloc(sizeof *s);
    s->loop = loop;
    s->resolver = io_resolver_create(loop);
    s->own = *own;
    s->join = join;
    s->user = user;
    io_timer_init(&s->timer, loop, on_timer);
    for (size_t i = 0; i < NODE_SEEDS_MAX; i++)
        s->at[i].all = s;
    return s;
}

static void drop(struct seed *one)
{
    if (one->looking)
        io_resolve_cancel(&one->wait);
    *one = (struct seed){.all = one->all};
}

void node_seeds_destroy(struct node_seeds *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < NODE_SEEDS_MAX; i++)
        drop(&s->at[i]);
    io_timer_stop(&s->timer);
    io_resolver_destroy(s->resolver);
    free(s);
}

static bool is_same(const struct seed *one, const struct conf_seed *seed)
{
    return one->used && one->port == seed->port && strcmp(one->host, seed->host) == 0;
}

static bool is_wanted(const struct seed *one, const struct conf_cluster *c)
{
    for (uint32_t i = 0; i < c->join_count; i++)
        if (is_same(one, &c->join[i]))
            return true;
    return false;
}

static void add(struct node_seeds *s, const struct conf_seed *seed)
{
    struct seed *room = NULL;
    for (size_t i = 0; i < NODE_SEEDS_MAX; i++) {
        if (is_same(&s->at[i], seed))
            return;
        if (!s->at[i].used && !room)
            room = &s->at[i];
    }
    /* conf lets no longer ones and no more of them through */
    if (!room || span_copy(span_text(seed->host), room->host, sizeof room->host) != ERR_OK)
        return;
    room->used = true;
    room->port = seed->port;
    room->due_ms = s->loop->now_ms;
}

void node_seeds_set(struct node_seeds *s, const struct conf_cluster *c)
{
    for (size_t i = 0; i < NODE_SEEDS_MAX; i++)
        if (s->at[i].used && !is_wanted(&s->at[i], c))
            drop(&s->at[i]);
    for (uint32_t i = 0; i < c->join_count; i++)
        add(s, &c->join[i]);
    set_timer(s);
}

static void one_done(struct seed *one, const struct addr *seed, enum err result)
{
    unsigned i = 0;
    while (i < one->asked_count && !addr_equal(&one->asked[i], seed))
        i++;
    if (i == one->asked_count)
        return;
    one->asked[i] = one->asked[--one->asked_count];
    if (result == ERR_OK && !one->joined) {
        one->joined = true;
        one->tries = 0;
        log_line(LOG_INFO, "joined", "seed=%s port=%u", one->host, one->port);
    }
    if (!one->asked_count && !one->joined)
        try_later(one, err_text(result));
}

void node_seeds_done(struct node_seeds *s, const struct addr *seed, enum err result)
{
    for (size_t i = 0; i < NODE_SEEDS_MAX; i++)
        one_done(&s->at[i], seed, result);
    set_timer(s);
}

void node_seeds_tick(struct node_seeds *s, bool alone, int64_t now_ms)
{
    if (!alone || !s->alone_since_ms)
        s->alone_since_ms = alone ? now_ms : 0;
    if (!alone || now_ms - s->alone_since_ms < NODE_SEEDS_ALONE_MS)
        return;
    s->alone_since_ms = now_ms;
    for (size_t i = 0; i < NODE_SEEDS_MAX; i++) {
        struct seed *one = &s->at[i];
        if (one->used && one->joined && !one->asked_count && !one->looking) {
            one->joined = false;
            one->due_ms = now_ms;
        }
    }
    set_timer(s);
}

bool node_seeds_tried(const struct node_seeds *s)
{
    for (size_t i = 0; i < NODE_SEEDS_MAX; i++)
        if (s->at[i].used && !s->at[i].joined && s->at[i].tries == 0)
            return false;
    return true;
}

unsigned node_seeds_left(const struct node_seeds *s)
{
    unsigned left = 0;
    for (size_t i = 0; i < NODE_SEEDS_MAX; i++)
        left += s->at[i].used && !s->at[i].joined;
    return left;
}
