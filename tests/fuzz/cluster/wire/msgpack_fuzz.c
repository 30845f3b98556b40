/* A value that is skipped, and the same bytes read as each kind: who reads a value whole ends
 * where skipping ends, and what is written of it is read as the same again. */
#include "cluster/wire/msgpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct cursor begin(const uint8_t *data, size_t size)
{
    struct cursor c;
    cursor_read(&c, span_of(data, size));
    return c;
}

/* Where a value of this kind ends; 0 when it is none. */
static size_t end_of(const struct cursor *c)
{
    must(c->at <= c->len);
    return c->err == ERR_OK ? c->at : 0;
}

static size_t check_integer(const uint8_t *data, size_t size)
{
    uint8_t room[16];
    struct cursor c = begin(data, size), d = begin(data, size), w;
    uint64_t u = wire_msgpack_get_uint(&c, UINT64_MAX);
    int64_t i = wire_msgpack_get_int(&d);
    if (c.err == ERR_OK && d.err == ERR_OK)
        must(c.at == d.at && i >= 0 && (uint64_t)i == u);
    if (c.err != ERR_OK && d.err != ERR_OK)
        return 0;
    cursor_write(&w, room, sizeof(room));
    if (c.err == ERR_OK)
        wire_msgpack_put_uint(&w, u);
    else
        wire_msgpack_put_int(&w, i);
    size_t end = c.err == ERR_OK ? c.at : d.at;
    must(w.err == ERR_OK && (w.at <= end || data[0] == 0xc0)); /* the shortest form */
    cursor_read(&w, span_of(room, w.at));
    if (c.err == ERR_OK)
        must(wire_msgpack_get_uint(&w, u) == u && w.err == ERR_OK);
    else
        must(wire_msgpack_get_int(&w) == i && w.err == ERR_OK);
    return end;
}

static size_t check_raw(const uint8_t *data, size_t size)
{
    struct cursor c = begin(data, size), head = begin(data, size);
    struct span raw = wire_msgpack_get_raw(&c);
    size_t len = wire_msgpack_get_raw_head(&head);
    if (c.err == ERR_OK)
        must(raw.len == len && head.at + len == c.at && c.at <= size);
    return end_of(&c);
}

/* The items of an array or map, one by one. */
static size_t check_items(const uint8_t *data, size_t size, bool map)
{
    struct cursor c = begin(data, size);
    uint64_t items = map ? 2 * (uint64_t)wire_msgpack_get_map(&c) : wire_msgpack_get_array(&c);
    must(items <= size);
    for (uint64_t i = 0; i < items && c.err == ERR_OK; i++)
        wire_msgpack_skip(&c);
    return end_of(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cursor c = begin(data, size);
    struct span value = wire_msgpack_get_value(&c);
    size_t end = end_of(&c);
    if (end > 0)
        must(value.len == end);
    size_t ends[6] = {check_integer(data, size), check_raw(data, size),
                      check_items(data, size, false), check_items(data, size, true)};
    c = begin(data, size);
    (void)wire_msgpack_get_bool(&c);
    ends[4] = end_of(&c);
    c = begin(data, size);
    (void)wire_msgpack_get_double(&c);
    ends[5] = end_of(&c);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        if (ends[i] > 0 && end > 0)
            must(ends[i] == end);
    return 0;
}
