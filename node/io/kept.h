/* node/io/kept.h - idle things by key, the last one put is the first one taken.
 *
 * For the kept connections of io/link_ev.c: under little load the newest is used over and over
 * and the others age until their server or their timer closes them.
 *
 * Thread: its loop's. Owns: its pools, not the items.
 * Limits: IO_KEPT_MAX items a key; the oldest gives way.
 */
#pragma once

#include "base/span.h"

#define IO_KEPT_MAX 64

struct io_kept_pool;
struct io_kept_item { /* embedded; zeroed: in no pool */
    struct io_kept_item *newer, *older;
    struct io_kept_pool *pool;
};

struct io_kept;
struct io_kept *io_kept_create(void);
void io_kept_destroy(struct io_kept *k); /* empty; NULL ok */
/* Returns the item that gave way (in no pool any more), or NULL. */
struct io_kept_item *io_kept_put(struct io_kept *k, struct span key, struct io_kept_item *item);
struct io_kept_item *io_kept_take(struct io_kept *k, struct span key); /* the newest, or NULL */
void io_kept_remove(struct io_kept_item *item);                        /* in no pool: nothing */
struct io_kept_item *io_kept_any(struct io_kept *k); /* stays in its pool; NULL: empty */
