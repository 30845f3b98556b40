#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_BYTES ((size_t)4096)
#define BLOCK_MAX_BYTES ((size_t)64 * 1024)

struct arena_block {
    struct arena_block *next;
    size_t bytes; /* payload */
    char payload[];
};
_Static_assert(offsetof(struct arena_block, payload) % 8 == 0, "payload is aligned");

void arena_init(struct arena *a, size_t cap_bytes)
{
    *a = (struct arena){.cap_bytes = cap_bytes & ~(size_t)7};
}

static void free_others(struct arena *a)
{
    for (struct arena_block *next; a->others; a->others = next) {
        next = a->others->next;
        ARENA_SHOW(a->others->payload, a->others->bytes);
        free(a->others);
    }
}

void arena_fini(struct arena *a)
{
    free_others(a);
    if (a->first) {
        ARENA_SHOW(a->first->payload, a->first->bytes);
        free(a->first);
    }
    arena_init(a, a->cap_bytes);
}

void arena_reset(struct arena *a)
{
    if (!a->first)
        return;
    if (a->others)
        free_others(a);
    a->at = a->first->payload;
    a->end = a->at + a->first->bytes;
    a->used_bytes = a->first->bytes;
    ARENA_HIDE(a->at, a->first->bytes);
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* A block of at least `bytes`; blocks grow with what is used, up to 64 KiB. */
static struct arena_block *add_block(struct arena *a, size_t bytes)
{
    size_t left = a->cap_bytes - a->used_bytes;
    size_t want = a->first ? smaller(2 * a->used_bytes, BLOCK_MAX_BYTES) : FIRST_BYTES;
    want = smaller(want, left);
    if (want < bytes)
        want = bytes;
    if (want > left)
        return NULL;
    struct arena_block *block = malloc(sizeof(*block) + want);
    if (!block)
        return NULL;
    block->bytes = want;
    a->used_bytes += want;
    ARENA_HIDE(block->payload, want);
    return block;
}

void *arena_alloc_slow(struct arena *a, size_t bytes)
{
    if (bytes == 0)
        bytes = 1;
    if (bytes > a->cap_bytes)
        return NULL;
    size_t rounded = (bytes + 7) & ~(size_t)7;
    if (!a->first) {
        a->first = add_block(a, 0);
        if (!a->first)
            return NULL;
        arena_reset(a);
    }
    if (rounded > (size_t)(a->end - a->at)) {
        struct arena_block *block = add_block(a, rounded);
        if (!block)
            return NULL;
        block->next = a->others;
        a->others = block;
        /* A block made for one large thing does not push out a roomier one. */
        if (block->bytes - rounded < (size_t)(a->end - a->at)) {
            ARENA_SHOW(block->payload, bytes);
            return block->payload;
        }
        a->at = block->payload;
        a->end = a->at + block->bytes;
    }
    return arena_alloc(a, bytes);
}

void *arena_zalloc(struct arena *a, size_t bytes)
{
    void *ptr = arena_alloc(a, bytes);
    if (ptr)
        memset(ptr, 0, bytes);
    return ptr;
}

bool arena_copy(struct arena *a, struct span s, struct span *out)
{
    char *ptr = arena_alloc(a, s.len);
    if (!ptr)
        return false;
    if (s.len)
        memcpy(ptr, s.ptr, s.len);
    *out = span_of(ptr, s.len);
    return true;
}

bool arena_printf(struct arena *a, struct span *out, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    /* Most texts fit into what is left of the block, so they are formatted once. */
    size_t room = (size_t)(a->end - a->at);
    ARENA_SHOW(a->at, room);
    int len = vsnprintf(a->at, room, fmt, args);
    ARENA_HIDE(a->at, room);
    va_end(args);
    char *ptr = len < 0 ? NULL : arena_alloc(a, (size_t)len + 1);
    if (ptr && (size_t)len >= room)
        (void)vsnprintf(ptr, (size_t)len + 1, fmt, again);
    va_end(again);
    if (!ptr)
        return false;
    *out = span_of(ptr, (size_t)len);
    return true;
}
