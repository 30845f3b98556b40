/* base/letter.h - work handed to another thread, and its way home.
 *
 * A letter is embedded in the thing it is about, so that posting never allocates or fails; it
 * may be in one queue at a time. A mailbox belongs to one loop: anyone posts, the loop opens
 * all that came when its wake function was called. A crew is a few blocking threads with one
 * queue; a crew of 0 threads runs its letters when letter_crew_run_all is called (tests).
 * Owners that die while their letter is out mark the thing dead and free it when the letter
 * opens.
 *
 * Thread: post from any; open in the owner's.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "base/err.h"

struct letter {
    struct letter *_Atomic next;
    void (*open)(struct letter *l); /* runs in the receiver's thread; may free or repost it */
};

struct letter_mailbox {
    struct letter *_Atomic newest; /* a lock-free stack, reversed when opened */
    void (*wake)(void *loop);      /* called on the post that finds the box empty */
    void *loop;
};

void letter_mailbox_init(struct letter_mailbox *m, void (*wake)(void *loop), void *loop);
void letter_post(struct letter_mailbox *m, struct letter *l, void (*open)(struct letter *l));
/* Several that are posted at once: the receiver is woken for all of them, not for each. {0} is
 * empty, and so is it afterwards. */
struct letter_stack {
    struct letter *newest, *oldest;
};
void letter_stack_add(struct letter_stack *s, struct letter *l, void (*open)(struct letter *l));
void letter_post_stack(struct letter_mailbox *m, struct letter_stack *s);
/* In posting order; how many were opened. What is posted meanwhile wakes the loop again. */
unsigned letter_open_all(struct letter_mailbox *m);

struct letter_crew;
struct letter_crew_conf {
    const char *name; /* thread name, at most 12 characters */
    unsigned threads; /* 0: letters run in letter_crew_run_all */
    bool idle;        /* SCHED_IDLE */
    /* May be NULL. A crew of 0 threads calls them in create and destroy. */
    void (*thread_begin)(void *context);
    void (*thread_end)(void *context);
    void *context;
};
struct letter_crew *letter_crew_create(const struct letter_crew_conf *conf); /* owned */
void letter_crew_post(struct letter_crew *c, struct letter *l, void (*open)(struct letter *l));
/* Takes up to `max` letters at once in posting order, unopened; for a crew whose single thread
 * works in batches: call it from within a letter. */
unsigned letter_crew_take(struct letter_crew *c, struct letter **out, unsigned max);
unsigned letter_crew_run_all(struct letter_crew *c); /* only for 0 threads */
void letter_crew_destroy(struct letter_crew *c); /* runs what is queued, then joins; NULL ok */
