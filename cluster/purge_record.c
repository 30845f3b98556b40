#include "cluster/purge_record.h"

#include "base/crypto.h"
#include "base/cursor.h"

#define VERSION 1
#define KEY_BYTES 16
#define HEAD_BYTES 28
#define CRC_BYTES 4

_Static_assert(CLUSTER_PURGE_PARTS_MAX == 3, "parts are counted in purge_record.h");

size_t cluster_purge_record_key(uint64_t stream, uint64_t seq, unsigned part,
                                uint8_t out[CLUSTER_PURGE_KEY])
{
    struct cursor c;
    cursor_write(&c, out, CLUSTER_PURGE_KEY);
    cursor_put_u64(&c, stream);
    cursor_put_u64(&c, seq);
    if (part)
        cursor_put_u8(&c, (uint8_t)part);
    return c.at;
}

bool cluster_purge_record_key_read(struct span key, uint64_t *out_stream, uint64_t *out_seq,
                                   unsigned *out_part)
{
    struct cursor c;
    if (key.len != KEY_BYTES && key.len != CLUSTER_PURGE_KEY)
        return false;
    cursor_read(&c, key);
    *out_stream = cursor_get_u64(&c);
    *out_seq = cursor_get_u64(&c);
    *out_part = key.len == KEY_BYTES ? 0 : cursor_get_u8(&c);
    return true;
}

static uint32_t checksum(uint64_t stream, uint64_t seq, struct span bytes)
{
    uint8_t key[CLUSTER_PURGE_KEY];
    size_t len = cluster_purge_record_key(stream, seq, 0, key);
    return crypto_crc32c_add(crypto_crc32c(span_of(key, len)), bytes);
}

size_t cluster_purge_record_encode(const struct cluster_purge_record *r,
                                   uint8_t out[CLUSTER_PURGE_BYTES_MAX])
{
    struct cursor c;
    size_t bytes =
        HEAD_BYTES + 6 + r->node.len + r->purge.site.len + r->purge.selector.len + CRC_BYTES;
    cursor_write(&c, out, CLUSTER_PURGE_BYTES_MAX);
    cursor_put_u8(&c, VERSION);
    cursor_put_u8(&c, (uint8_t)cluster_purge_record_parts(bytes));
    cursor_put_u8(&c, (uint8_t)r->purge.kind);
    cursor_put_u8(&c, (uint8_t)r->purge.mode);
    cursor_put_u64(&c, r->apply_no);
    cursor_put_u64(&c, (uint64_t)r->accepted_at_s);
    cursor_put_u64(&c, r->dedup);
    cursor_put_counted16(&c, r->node);
    cursor_put_counted16(&c, r->purge.site);
    cursor_put_counted16(&c, r->purge.selector);
    cursor_put_u32(&c, checksum(r->stream, r->seq, span_of(out, c.at)));
    must(c.err == ERR_OK && c.at == bytes);
    return bytes;
}

unsigned cluster_purge_record_parts_of(struct span first)
{
    if (first.len < HEAD_BYTES || (uint8_t)first.ptr[1] > CLUSTER_PURGE_PARTS_MAX)
        return 0;
    return (uint8_t)first.ptr[1];
}

enum err cluster_purge_record_decode(uint64_t stream, uint64_t seq, struct span bytes,
                                     struct cluster_purge_record *out)
{
    struct cursor c;
    if (bytes.len < HEAD_BYTES + CRC_BYTES)
        return ERR_CORRUPT;
    struct span covered = span_until(bytes, bytes.len - CRC_BYTES);
    cursor_read(&c, span_from(bytes, covered.len));
    if (cursor_get_u32(&c) != checksum(stream, seq, covered))
        return ERR_CORRUPT;
    cursor_read(&c, covered);
    unsigned version = cursor_get_u8(&c);
    unsigned parts = cursor_get_u8(&c);
    unsigned kind = cursor_get_u8(&c);
    unsigned mode = cursor_get_u8(&c);
    struct cluster_purge_record r = {
        .stream = stream,
        .seq = seq,
        .purge = {.kind = (enum purge_kind)kind, .mode = (enum purge_mode)mode},
    };
    r.apply_no = cursor_get_u64(&c);
    r.accepted_at_s = (int64_t)cursor_get_u64(&c);
    r.dedup = cursor_get_u64(&c);
    r.node = cursor_get_counted16(&c);
    r.purge.site = cursor_get_counted16(&c);
    r.purge.selector = cursor_get_counted16(&c);
    if (c.err || cursor_left(&c) || version != VERSION || kind < PURGE_URL ||
        kind > PURGE_ALL || (mode != PURGE_HARD && mode != PURGE_SOFT) ||
        parts != cluster_purge_record_parts(bytes.len) || r.node.len > CLUSTER_PURGE_NODE_MAX ||
        r.purge.site.len > PURGE_SITE_MAX || r.purge.selector.len > PURGE_SELECTOR_MAX)
        return ERR_CORRUPT;
    *out = r;
    return ERR_OK;
}
