#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define ROOM_MIN ((size_t)512)

static void check_sane(const struct buf *b)
{
    must(b->from <= b->to && b->to <= b->room);
}

void buf_init(struct buf *b, size_t cap_bytes)
{
    *b = (struct buf){.cap_bytes = cap_bytes};
}

void buf_borrow(struct buf *b, char *mem, size_t bytes)
{
    must(mem && bytes > 0);
    *b = (struct buf){.mem = mem, .room = bytes, .cap_bytes = bytes, .borrowed = true};
}

void buf_fini(struct buf *b)
{
    buf_release(b);
}

void buf_release(struct buf *b)
{
    if (b->borrowed) {
        buf_clear(b);
        return;
    }
    free(b->mem);
    buf_init(b, b->cap_bytes);
}

void buf_clear(struct buf *b)
{
    b->from = b->to = 0;
}

/* Moves the content to the front when that frees enough and moves no more than it frees, so
 * that a long-lived queue copies each byte a bounded number of times; otherwise doubles. */
static bool make_room(struct buf *b, size_t bytes)
{
    size_t len = buf_len(b);
    if (bytes > SIZE_MAX / 4 || len > SIZE_MAX / 4)
        return false;
    if (b->from >= len && b->room - len >= bytes) {
        if (len)
            memcpy(b->mem, b->mem + b->from, len);
        b->from = 0;
        b->to = len;
        return true;
    }
    if (b->borrowed)
        return false;
    size_t room = b->room > ROOM_MIN ? b->room : ROOM_MIN;
    while (room < len + bytes)
        room *= 2;
    if (room == b->room) /* roomy, but the content is too large to move for free */
        room *= 2;
    char *mem = malloc(room);
    if (!mem)
        return false;
    if (len)
        memcpy(mem, b->mem + b->from, len);
    free(b->mem);
    *b = (struct buf){.mem = mem, .to = len, .room = room, .cap_bytes = b->cap_bytes};
    return true;
}

char *buf_reserve(struct buf *b, size_t bytes)
{
    check_sane(b);
    if (b->cap_bytes && bytes > b->cap_bytes - buf_len(b))
        return NULL;
    if ((!b->mem || bytes > b->room - b->to) && !make_room(b, bytes))
        return NULL;
    return b->mem + b->to;
}

void buf_grew(struct buf *b, size_t bytes)
{
    must(bytes <= b->room - b->to);
    b->to += bytes;
    must(!b->cap_bytes || buf_len(b) <= b->cap_bytes);
}

void buf_consume(struct buf *b, size_t bytes)
{
    must(bytes <= buf_len(b));
    b->from += bytes;
    if (b->from == b->to)
        b->from = b->to = 0;
}

enum err buf_append(struct buf *b, struct span bytes)
{
    if (bytes.len == 0)
        return ERR_OK;
    char *room = buf_reserve(b, bytes.len);
    if (!room)
        return ERR_LIMIT;
    memcpy(room, bytes.ptr, bytes.len);
    buf_grew(b, bytes.len);
    return ERR_OK;
}

enum err buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    enum err err = ERR_LIMIT;
    size_t room = b->room - b->to;
    int len = vsnprintf(b->mem ? b->mem + b->to : NULL, room, fmt, args);
    va_end(args);
    if (len < 0)
        goto out;
    /* vsnprintf needs a byte for its NUL, which is never queued: cap counts the text only. */
    if (b->cap_bytes && (size_t)len > b->cap_bytes - buf_len(b))
        goto out;
    if ((size_t)len >= room) {
        if (!make_room(b, (size_t)len + 1))
            goto out;
        (void)vsnprintf(b->mem + b->to, (size_t)len + 1, fmt, again);
    }
    buf_grew(b, (size_t)len);
    err = ERR_OK;
out:
    va_end(again);
    return err;
}
