/* base/cursor.h - bounded reading and writing of binary records; the first error sticks.
 *
 * After an error, readers give zeros and writers do nothing; check cursor_err once at the end.
 * Numbers are big endian unless the name says le.
 * Thread: one owner. Owns nothing; spans read are borrowed from the input.
 */
#pragma once

#include "base/span.h"

struct cursor {
    uint8_t *ptr; /* written only through the write functions */
    size_t at, len;
    enum err err; /* ERR_SYNTAX: read past the end; ERR_LIMIT: written past the end */
};

void cursor_read(struct cursor *c, struct span bytes);
void cursor_write(struct cursor *c, void *room, size_t len);
static inline size_t cursor_left(const struct cursor *c)
{
    return c->len - c->at;
}

uint8_t cursor_get_u8(struct cursor *c);
uint16_t cursor_get_u16(struct cursor *c);
uint32_t cursor_get_u32(struct cursor *c);
uint64_t cursor_get_u64(struct cursor *c);
struct span cursor_get_bytes(struct cursor *c, size_t len);
struct span cursor_get_counted16(struct cursor *c); /* u16 length, then bytes */

void cursor_put_u8(struct cursor *c, uint8_t v);
void cursor_put_u16(struct cursor *c, uint16_t v);
void cursor_put_u32(struct cursor *c, uint32_t v);
void cursor_put_u64(struct cursor *c, uint64_t v);
void cursor_put_bytes(struct cursor *c, struct span bytes);
void cursor_put_counted16(struct cursor *c, struct span bytes);
