#include "base/letter.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

void letter_mailbox_init(struct letter_mailbox *m, void (*wake)(void *loop), void *loop)
{
    atomic_init(&m->newest, NULL);
    m->wake = wake;
    m->loop = loop;
}

void letter_stack_add(struct letter_stack *s, struct letter *l, void (*open)(struct letter *l))
{
    l->open = open;
    atomic_store_explicit(&l->next, s->newest, memory_order_relaxed);
    s->newest = l;
    if (!s->oldest)
        s->oldest = l;
}

void letter_post_stack(struct letter_mailbox *m, struct letter_stack *s)
{
    const struct letter_stack all = *s;
    *s = (struct letter_stack){0};
    if (!all.newest)
        return;
    struct letter *newest = atomic_load_explicit(&m->newest, memory_order_relaxed);
    do {
        atomic_store_explicit(&all.oldest->next, newest, memory_order_relaxed);
    } while (!atomic_compare_exchange_weak_explicit(
        &m->newest, &newest, all.newest, memory_order_release, memory_order_relaxed));
    /* From here on they may be open and gone; only the mailbox is ours to touch. */
    if (!newest && m->wake)
        m->wake(m->loop);
}

void letter_post(struct letter_mailbox *m, struct letter *l, void (*open)(struct letter *l))
{
    struct letter_stack one = {0};
    letter_stack_add(&one, l, open);
    letter_post_stack(m, &one);
}

unsigned letter_open_all(struct letter_mailbox *m)
{
    struct letter *newest = atomic_exchange_explicit(&m->newest, NULL, memory_order_acquire);
    struct letter *oldest = NULL;
    while (newest) {
        struct letter *next = atomic_load_explicit(&newest->next, memory_order_relaxed);
        atomic_store_explicit(&newest->next, oldest, memory_order_relaxed);
        oldest = newest;
        newest = next;
    }
    unsigned opened = 0;
    for (; oldest; opened++) {
        struct letter *l = oldest;
        oldest = atomic_load_explicit(&l->next, memory_order_relaxed);
        l->open(l);
    }
    return opened;
}

struct letter_crew {
    struct letter_crew_conf conf;
    char name[16];
    pthread_mutex_t lock; /* protects head, tail, closing */
    pthread_cond_t news;
    struct letter *head, *tail;
    bool closing;
    pthread_t *threads;
};

static struct letter *next_of(struct letter *l)
{
    return atomic_load_explicit(&l->next, memory_order_relaxed);
}

/* With the lock held. */
static struct letter *pop(struct letter_crew *c)
{
    struct letter *l = c->head;
    if (l) {
        c->head = next_of(l);
        if (!c->head)
            c->tail = NULL;
    }
    return l;
}

static void *work(void *arg)
{
    struct letter_crew *c = arg;
    (void)pthread_setname_np(pthread_self(), c->name);
    if (c->conf.idle) {
        /* A kernel that refuses leaves us at the ordinary priority, which is only slower. */
        struct sched_param zero = {0};
        (void)sched_setscheduler(0, SCHED_IDLE, &zero);
    }
    if (c->conf.thread_begin)
        c->conf.thread_begin(c->conf.context);
    pthread_mutex_lock(&c->lock);
    for (;;) {
        struct letter *l = pop(c);
        if (l) {
            pthread_mutex_unlock(&c->lock);
            l->open(l);
            pthread_mutex_lock(&c->lock);
        } else if (c->closing) {
            break;
        } else {
            pthread_cond_wait(&c->news, &c->lock);
        }
    }
    pthread_mutex_unlock(&c->lock);
    if (c->conf.thread_end)
        c->conf.thread_end(c->conf.context);
    return NULL;
}

struct letter_crew *letter_crew_create(const struct letter_crew_conf *conf)
{
    struct letter_crew *c = must_alloc(sizeof(*c));
    c->conf = *conf;
    for (size_t i = 0; conf->name && conf->name[i] && i < sizeof(c->name) - 1; i++)
        c->name[i] = conf->name[i];
    must(pthread_mutex_init(&c->lock, NULL) == 0);
    must(pthread_cond_init(&c->news, NULL) == 0);
    if (conf->threads == 0) {
        if (conf->thread_begin)
            conf->thread_begin(conf->context);
        return c;
    }
    /* Signals are the control thread's: crews inherit a full mask. */
    sigset_t all, before;
    sigfillset(&all);
    must(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    c->threads = must_alloc(conf->threads * sizeof(*c->threads));
    for (unsigned i = 0; i < conf->threads; i++)
        must(pthread_create(&c->threads[i], NULL, work, c) == 0);
    must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    return c;
}

void letter_crew_post(struct letter_crew *c, struct letter *l, void (*open)(struct letter *l))
{
    l->open = open;
    atomic_store_explicit(&l->next, NULL, memory_order_relaxed);
    pthread_mutex_lock(&c->lock);
    if (c->tail)
        atomic_store_explicit(&c->tail->next, l, memory_order_relaxed);
    else
        c->head = l;
    c->tail = l;
    pthread_cond_signal(&c->news);
    pthread_mutex_unlock(&c->lock);
}

unsigned letter_crew_take(struct letter_crew *c, struct letter **out, unsigned max)
{
    unsigned count = 0;
    pthread_mutex_lock(&c->lock);
    while (count < max && c->head)
        out[count++] = pop(c);
    pthread_mutex_unlock(&c->lock);
    return count;
}

unsigned letter_crew_run_all(struct letter_crew *c)
{
    struct letter *l;
    unsigned opened = 0;
    must(c->conf.threads == 0);
    while (letter_crew_take(c, &l, 1)) {
        l->open(l);
        opened++;
    }
    return opened;
}

void letter_crew_destroy(struct letter_crew *c)
{
    if (!c)
        return;
    if (c->conf.threads == 0) {
        (void)letter_crew_run_all(c);
        if (c->conf.thread_end)
            c->conf.thread_end(c->conf.context);
    }
    pthread_mutex_lock(&c->lock);
    c->closing = true;
    pthread_cond_broadcast(&c->news);
    pthread_mutex_unlock(&c->lock);
    for (unsigned i = 0; i < c->conf.threads; i++)
        must(pthread_join(c->threads[i], NULL) == 0);
    pthread_cond_destroy(&c->news);
    pthread_mutex_destroy(&c->lock);
    free(c->threads);
    free(c);
}
