/* node/io/loop_ev.h - one thread's loop: clock, mailbox, timers.
 *
 * Each worker and control own one. The clock is read once per loop turn. Letters posted to the
 * mailbox are opened in the loop, also those posted by the loop itself (next turn at latest),
 * and before events that came after them.
 *
 * Units: now_ms monotonic, now_s wall seconds. Thread: its own, but letter_post from any and
 * io_loop_stop from any.
 */
#pragma once

#include <stdint.h>

#include "base/letter.h"

struct ev_loop;
struct ev_timer;
struct io_tls_scratch;

struct io_loop {
    struct ev_loop *ev;
    struct letter_mailbox mailbox;
    int64_t now_ms, now_s;
    uint64_t turn; /* counted from sleep to sleep */
    char date[32]; /* HTTP date of now_s, 29 characters */
    /* Scratch of one callback, shared by all streams of this loop (io/stream_ev.c). */
    char *input;  /* IO_INPUT_BYTES: what one recv brought */
    char *plain;  /* IO_INPUT_BYTES: what TLS made of it; also offered to cores to gather
                   * output frames in */
    char *output; /* IO_OUTPUT_BYTES: records to send */
    struct io_tls_scratch *scratch; /* the same memory, as TLS sees it (io/tls.h) */
    size_t rest_bytes; /* what its streams keep that sockets did not take (io/outlet.h) */
    void *detail;      /* implementation's own */
};
#define IO_INPUT_BYTES 65536
#define IO_SLAB_BYTES (48 * 1024) /* plain bytes per turn and connection */
#define IO_OUTPUT_BYTES (IO_SLAB_BYTES + 4 * 16640)

struct io_loop *io_loop_create(void);    /* owned */
void io_loop_destroy(struct io_loop *l); /* NULL ok */
void io_loop_run(struct io_loop *l);     /* until io_loop_stop */
void io_loop_stop(struct io_loop *l);    /* any thread */
int64_t io_loop_us(void);                /* monotonic, read now: for figures, not decisions */
int64_t io_loop_awake_us(void);          /* the same, but goes on while the machine sleeps */

/* Work to do before the loop sleeps: `soon` runs in this turn, after its events and letters;
 * `later` in the next turn, before which others get theirs. Queued already: moves nothing. A
 * zeroed task is valid. */
struct io_task {
    struct io_task *next, *prev;
    void (*run)(struct io_task *t);
};
void io_loop_soon(struct io_loop *l, struct io_task *t, void (*run)(struct io_task *t));
void io_loop_later(struct io_loop *l, struct io_task *t, void (*run)(struct io_task *t));
void io_task_cancel(struct io_task *t); /* not queued: nothing */

/* Memory of IO_OUTPUT_BYTES from the loop's small store of such; NULL: out of memory. */
char *io_loop_slab_take(struct io_loop *l);
void io_loop_slab_give(struct io_loop *l, char *slab);

/* A timer of coarse use (timeouts): cheap to move, may fire up to 100 ms late, never early. */
struct io_timer {
    void *slot[12]; /* an ev_timer; opaque here */
    struct io_loop *loop;
    void (*fired)(struct io_timer *t);
    int64_t due_ms; /* 0: off */
    bool armed;
};
void io_timer_init(struct io_timer *t, struct io_loop *l, void (*fired)(struct io_timer *t));
void io_timer_set(struct io_timer *t, int64_t due_ms); /* 0 = off */
void io_timer_stop(struct io_timer *t);                /* before the struct goes away */
