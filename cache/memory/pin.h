/* cache/memory/pin.h - which bodies on disk somebody may still read.
 *
 * Every object in RAM that has a body on disk pins it. A body that was replaced or evicted is
 * doomed: its chunks are deleted when the last pin goes, at once when there is none: unlink
 * without an open read transaction.
 *
 * Thread: any (one mutex a shard). Limits: as many pins as objects in RAM.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct memory_pins;
struct store;

/* `expected`: about how many bodies at once. The store may be NULL. */
struct memory_pins *memory_pin_create(struct store *store, uint64_t expected);
void memory_pin_destroy(struct memory_pins *p); /* NULL ok */
void memory_pin_hold(struct memory_pins *p, uint64_t body_id);
void memory_pin_release(struct memory_pins *p, uint64_t body_id);
void memory_pin_doom(struct memory_pins *p, uint64_t body_id); /* once per body */
uint32_t memory_pin_holders(struct memory_pins *p, uint64_t body_id);
