#include "node/io/loop_ev.h"

#include <ev.h>
#include <stdlib.h>
#include <time.h>

#include "base/counter.h"
#include "base/http/date.h"
#include "node/io/tls.h"

#define SLABS_KEPT 16 /* spare slabs of a loop: 1.8 MiB */
#define ROUNDS_MAX 16 /* letters that make tasks that make letters, before a new turn */
#define SLOW_TURN_US 10000

struct detail {
    struct io_loop loop; /* first: io_loop_destroy frees it */
    ev_async wake;
    ev_prepare prepare;
    ev_check check;
    ev_idle idle;               /* active: do not sleep, there is work for the next turn */
    struct io_task soon, later; /* ring ends */
    char *slabs[SLABS_KEPT];
    unsigned slab_count;
    atomic_bool stop;
    int64_t turn_began_us; /* 0: the loop has not slept yet */
    struct io_tls_scratch scratch;
};

static struct detail *detail_of(const struct io_loop *l)
{
    return l->detail;
}

static int64_t clock_us(clockid_t id)
{
    struct timespec t;
    must(clock_gettime(id, &t) == 0);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t io_loop_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

int64_t io_loop_awake_us(void)
{
    return clock_us(CLOCK_BOOTTIME);
}

static void read_clock(struct io_loop *l)
{
    int64_t us = io_loop_us();
    detail_of(l)->turn_began_us = us;
    l->now_ms = us / 1000;
    int64_t wall_s = (int64_t)ev_now(l->ev);
    if (wall_s != l->now_s) {
        l->now_s = wall_s;
        http_date_print(wall_s, l->date);
    }
}

/* ---- tasks */

static void ring_init(struct io_task *end)
{
    end->next = end->prev = end;
}

static void ring_add(struct io_task *end, struct io_task *t, void (*run)(struct io_task *t))
{
    if (t->next)
        return;
    t->run = run;
    t->next = end;
    t->prev = end->prev;
    t->prev->next = t;
    end->prev = t;
}

static bool ring_is_empty(const struct io_task *end)
{
    return end->next == end;
}

void io_task_cancel(struct io_task *t)
{
    if (!t->next)
        return;
    t->prev->next = t->next;
    t->next->prev = t->prev;
    t->next = t->prev = NULL;
}

void io_loop_soon(struct io_loop *l, struct io_task *t, void (*run)(struct io_task *t))
{
    ring_add(&detail_of(l)->soon, t, run);
}

void io_loop_later(struct io_loop *l, struct io_task *t, void (*run)(struct io_task *t))
{
    ring_add(&detail_of(l)->later, t, run);
}

/* Moves all of `from` to the empty `to`. */
static void ring_move(struct io_task *from, struct io_task *to)
{
    if (ring_is_empty(from)) {
        ring_init(to);
        return;
    }
    *to = *from;
    to->next->prev = to;
    to->prev->next = to;
    ring_init(from);
}

static unsigned run_tasks(struct io_task *end)
{
    struct io_task now;
    ring_move(end, &now);
    unsigned count = 0;
    while (!ring_is_empty(&now)) {
        struct io_task *t = now.next;
        io_task_cancel(t);
        t->run(t);
        count++;
    }
    return count;
}

/* ---- turns */

static void on_wake(struct ev_loop *ev, ev_async *w, int revents)
{
    (void)ev, (void)w, (void)revents; /* after_sleep opened the letters */
}

static void on_idle(struct ev_loop *ev, ev_idle *w, int revents)
{
    (void)ev, (void)w, (void)revents; /* being active is all it is for */
}

static unsigned open_letters(struct io_loop *l)
{
    if (!atomic_load_explicit(&l->mailbox.newest, memory_order_relaxed))
        return 0;
    return letter_open_all(&l->mailbox);
}

/* Letters that came in the sleep stand before its events: whoever was told that a setup was
 * handed out and then asks, is served under it. */
static void after_sleep(struct ev_loop *ev, ev_check *w, int revents)
{
    (void)ev, (void)revents;
    read_clock(w->data);
    (void)open_letters(w->data);
}

static void before_sleep(struct ev_loop *ev, ev_prepare *w, int revents)
{
    (void)revents;
    struct io_loop *l = w->data;
    struct detail *d = detail_of(l);
    unsigned rounds = 0, work;

    run_tasks(&d->later);
    do {
        work = open_letters(l);
        work += run_tasks(&d->soon);
    } while (work > 0 && ++rounds < ROUNDS_MAX);

    if (ring_is_empty(&d->soon) && ring_is_empty(&d->later))
        ev_idle_stop(ev, &d->idle);
    else
        ev_idle_start(ev, &d->idle);
    if (atomic_load_explicit(&d->stop, memory_order_acquire))
        ev_break(ev, EVBREAK_ALL);
    if (d->turn_began_us && io_loop_us() - d->turn_began_us > SLOW_TURN_US)
        counter_add(COUNTER_LOOP_TURNS_OVER_10MS, 1);
    l->turn++;
}

static void wake_loop(void *loop)
{
    struct io_loop *l = loop;
    ev_async_send(l->ev, &detail_of(l)->wake); /* no system call while the loop is awake */
}

struct io_loop *io_loop_create(void)
{
    struct detail *d = must_alloc(sizeof(*d));
    struct io_loop *l = &d->loop;
    l->detail = d;
    l->ev = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);
    must(l->ev);
    letter_mailbox_init(&l->mailbox, wake_loop, l);
    ring_init(&d->soon);
    ring_init(&d->later);
    atomic_init(&d->stop, false);

    ev_async_init(&d->wake, on_wake);
    ev_async_start(l->ev, &d->wake);
    ev_prepare_init(&d->prepare, before_sleep);
    d->prepare.data = l;
    ev_set_priority(&d->prepare, EV_MINPRI); /* after all others of its kind */
    ev_prepare_start(l->ev, &d->prepare);
    ev_check_init(&d->check, after_sleep);
    d->check.data = l;
    ev_set_priority(&d->check, EV_MAXPRI); /* the clock before whoever reads it */
    ev_check_start(l->ev, &d->check);
    ev_idle_init(&d->idle, on_idle);

    l->input = must_alloc(IO_INPUT_BYTES);
    l->plain = must_alloc(IO_INPUT_BYTES);
    l->output = must_alloc(IO_OUTPUT_BYTES);
    l->scratch = &d->scratch;
    io_tls_scratch_init(l->scratch);
    l->scratch->out = l->output;
    l->scratch->out_room = IO_OUTPUT_BYTES;
    read_clock(l);
    d->turn_began_us = 0;
    return l;
}

void io_loop_destroy(struct io_loop *l)
{
    if (!l)
        return;
    struct detail *d = detail_of(l);
    ev_idle_stop(l->ev, &d->idle);
    ev_check_stop(l->ev, &d->check);
    ev_prepare_stop(l->ev, &d->prepare);
    ev_async_stop(l->ev, &d->wake);
    ev_loop_destroy(l->ev);
    io_tls_scratch_fini(l->scratch);
    while (d->slab_count > 0)
        free(d->slabs[--d->slab_count]);
    free(l->input);
    free(l->plain);
    free(l->output);
    free(d);
}

void io_loop_run(struct io_loop *l)
{
    ev_now_update(l->ev);
    read_clock(l);
    ev_run(l->ev, 0);
    atomic_store_explicit(&detail_of(l)->stop, false, memory_order_release);
}

void io_loop_stop(struct io_loop *l)
{
    atomic_store_explicit(&detail_of(l)->stop, true, memory_order_release);
    wake_loop(l);
}

/* ---- slabs */

char *io_loop_slab_take(struct io_loop *l)
{
    struct detail *d = detail_of(l);
    return d->slab_count > 0 ? d->slabs[--d->slab_count] : malloc(IO_OUTPUT_BYTES);
}

void io_loop_slab_give(struct io_loop *l, char *slab)
{
    struct detail *d = detail_of(l);
    if (d->slab_count < SLABS_KEPT)
        d->slabs[d->slab_count++] = slab;
    else
        free(slab);
}

/* ---- timers */

struct timer_slot {
    ev_timer timer;
    int64_t armed_ms; /* when the ev_timer goes off; it may be long before due_ms */
};
_Static_assert(sizeof(struct timer_slot) <= sizeof(((struct io_timer *)0)->slot),
               "io_timer.slot holds a timer_slot");

static struct timer_slot *slot_of(struct io_timer *t)
{
    return (struct timer_slot *)(void *)t->slot;
}

static void arm(struct io_timer *t)
{
    struct timer_slot *s = slot_of(t);
    int64_t wait_ms = t->due_ms - t->loop->now_ms;
    if (wait_ms < 0)
        wait_ms = 0;
    s->armed_ms = t->due_ms;
    t->armed = true;
    /* One more, since both clocks were cut to whole milliseconds. */
    ev_timer_set(&s->timer, (double)(wait_ms + 1) / 1000, 0);
    ev_timer_start(t->loop->ev, &s->timer);
}

static void on_timer(struct ev_loop *ev, ev_timer *w, int revents)
{
    (void)ev, (void)revents;
    struct io_timer *t = w->data;
    t->armed = false;
    if (t->due_ms == 0)
        return;
    if (t->due_ms > t->loop->now_ms) {
        arm(t);
        return;
    }
    t->due_ms = 0;
    t->fired(t);
}

void io_timer_init(struct io_timer *t, struct io_loop *l, void (*fired)(struct io_timer *t))
{
    *t = (struct io_timer){.loop = l, .fired = fired};
    struct timer_slot *s = slot_of(t);
    ev_timer_init(&s->timer, on_timer, 0, 0);
    s->timer.data = t;
}

void io_timer_set(struct io_timer *t, int64_t due_ms)
{
    t->due_ms = due_ms;
    if (due_ms == 0 || (t->armed && slot_of(t)->armed_ms <= due_ms))
        return; /* on_timer looks at due_ms again */
    if (t->armed)
        ev_timer_stop(t->loop->ev, &slot_of(t)->timer);
    arm(t);
}

void io_timer_stop(struct io_timer *t)
{
    t->due_ms = 0;
    if (!t->armed)
        return;
    t->armed = false;
    ev_timer_stop(t->loop->ev, &slot_of(t)->timer);
}
