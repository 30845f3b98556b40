/* Any bytes from another node, or from an event: refused, or read within their bounds; what was
 * read is written as the same bytes. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cluster/purge_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_records(struct span rest)
{
    struct cluster_purge_record r;
    while (rest.len > 0) {
        struct span before = rest;
        struct buf b;
        if (purge_wire_next_record(&rest, &r) != ERR_OK)
            return;
        buf_init(&b, 0);
        purge_wire_put_record(&b, &r);
        must(buf_len(&b) == before.len - rest.len && buf_len(&b) <= PURGE_WIRE_RECORD_MAX);
        must(memcmp(buf_span(&b).ptr, before.ptr, buf_len(&b)) == 0);
        buf_fini(&b);
    }
}

static void read_members(struct span rest)
{
    struct cluster_purge_member m;
    while (rest.len > 0 && purge_wire_next_member(&rest, &m) == ERR_OK)
        must(m.id.len > 0 && m.id.len <= CLUSTER_PURGE_NODE_MAX);
}

static void read_vector(struct span bytes)
{
    struct cluster_vector v = {0};
    struct buf b;
    buf_init(&b, 0);
    if (cluster_vector_read(bytes, &v) == ERR_OK) {
        cluster_vector_put(&v, &b);
        must(span_equal(buf_span(&b), bytes));
    }
    buf_fini(&b);
    cluster_vector_fini(&v);
}

static void read_hint(struct span bytes)
{
    struct purge_wire_hint h;
    struct buf b;
    if (purge_wire_read_hint(bytes, &h) != ERR_OK)
        return;
    buf_init(&b, 0);
    purge_wire_put_hint(&b, &h);
    if (bytes.len <= CLUSTER_PURGE_HINT_MAX)
        must(span_equal(buf_span(&b), bytes));
    buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct purge_wire_request r;
    struct purge_wire_answer a;
    struct purge p;
    if (size == 0)
        return 0;
    struct span bytes = span_of(data + 1, size - 1);
    switch (data[0] % 6) {
    case 0:
        if (purge_wire_read_request(bytes, &r) == ERR_OK) {
            read_vector(r.vector);
            read_records(r.records);
        }
        break;
    case 1:
    case 2:
    case 3:
        if (purge_wire_read_answer(bytes, (enum purge_wire_kind)(data[0] % 6), &a) == ERR_OK) {
            read_vector(a.vector);
            read_members(a.members);
            read_records(a.records);
        }
        break;
    case 4:
        read_hint(bytes);
        break;
    default:
        if (purge_wire_read_typed(bytes, &p) == ERR_OK)
            must(purge_check(&p) == ERR_OK);
    }
    return 0;
}
