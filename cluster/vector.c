#include "cluster/vector.h"

#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"

void cluster_vector_fini(struct cluster_vector *v)
{
    free(v->rows);
    *v = (struct cluster_vector){0};
}

void cluster_vector_clear(struct cluster_vector *v)
{
    v->count = 0;
}

/* The first row whose stream is not below. */
static uint32_t find(const struct cluster_vector *v, uint64_t stream)
{
    uint32_t low = 0, high = v->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (v->rows[middle].stream < stream)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint64_t cluster_vector_get(const struct cluster_vector *v, uint64_t stream)
{
    uint32_t at = find(v, stream);
    return at < v->count && v->rows[at].stream == stream ? v->rows[at].seq : 0;
}

static void make_room(struct cluster_vector *v, uint32_t rows)
{
    if (rows <= v->room)
        return;
    uint32_t room = v->room ? v->room : 8;
    while (room < rows)
        room *= 2;
    v->rows = must_realloc(v->rows, room * sizeof *v->rows);
    v->room = room;
}

enum err cluster_vector_raise(struct cluster_vector *v, uint64_t stream, uint64_t seq)
{
    if (stream == 0 || seq == 0)
        return ERR_OK; /* stands there already */
    uint32_t at = find(v, stream);
    if (at < v->count && v->rows[at].stream == stream) {
        if (v->rows[at].seq < seq)
            v->rows[at].seq = seq;
        return ERR_OK;
    }
    if (v->count == CLUSTER_VECTOR_ROWS)
        return ERR_LIMIT;
    make_room(v, v->count + 1);
    memmove(v->rows + at + 1, v->rows + at, (v->count - at) * sizeof *v->rows);
    v->rows[at] = (struct cluster_vector_row){.stream = stream, .seq = seq};
    v->count++;
    return ERR_OK;
}

void cluster_vector_copy(struct cluster_vector *to, const struct cluster_vector *from)
{
    make_room(to, from->count);
    if (from->count > 0)
        memcpy(to->rows, from->rows, from->count * sizeof *to->rows);
    to->count = from->count;
}

bool cluster_vector_covers(const struct cluster_vector *a, const struct cluster_vector *b)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        while (at < a->count && a->rows[at].stream < b->rows[i].stream)
            at++;
        if (at == a->count || a->rows[at].stream != b->rows[i].stream ||
            a->rows[at].seq < b->rows[i].seq)
            return false;
    }
    return true;
}

bool cluster_vector_equal(const struct cluster_vector *a, const struct cluster_vector *b)
{
    return a->count == b->count &&
           (a->count == 0 || memcmp(a->rows, b->rows, a->count * sizeof *a->rows) == 0);
}

void cluster_vector_put(const struct cluster_vector *v, struct buf *out)
{
    size_t bytes = (size_t)v->count * CLUSTER_VECTOR_ROW_BYTES;
    char *room = bytes > 0 ? buf_reserve(out, bytes) : NULL;
    struct cursor c;
    if (!room)
        return;
    cursor_write(&c, room, bytes);
    for (uint32_t i = 0; i < v->count; i++) {
        cursor_put_u64(&c, v->rows[i].stream);
        cursor_put_u64(&c, v->rows[i].seq);
    }
    buf_grew(out, bytes);
}

enum err cluster_vector_read(struct span bytes, struct cluster_vector *out)
{
    struct cursor c;
    uint64_t before = 0;
    cluster_vector_clear(out);
    if (bytes.len % CLUSTER_VECTOR_ROW_BYTES != 0)
        return ERR_SYNTAX;
    if (bytes.len / CLUSTER_VECTOR_ROW_BYTES > CLUSTER_VECTOR_ROWS)
        return ERR_LIMIT;
    uint32_t rows = (uint32_t)(bytes.len / CLUSTER_VECTOR_ROW_BYTES);
    make_room(out, rows);
    cursor_read(&c, bytes);
    for (uint32_t i = 0; i < rows; i++) {
        struct cluster_vector_row row = {.stream = cursor_get_u64(&c),
                                         .seq = cursor_get_u64(&c)};
        if (row.stream <= before || row.seq == 0) {
            cluster_vector_clear(out);
            return ERR_SYNTAX;
        }
        before = row.stream;
        out->rows[out->count++] = row;
    }
    return ERR_OK;
}
