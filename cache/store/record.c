#include "cache/store/record.h"

#include "base/cursor.h"

#define VERSION 1
#define HASH_BYTES 8
#define ID_MAX ((UINT64_C(1) << 42) - 1) /* body_id << 22 | chunk is the key of a chunk */
#define BODY_MAX (UINT64_C(1) << 38)     /* 2^22 chunks of the largest page that LMDB knows */
#define AT_MAX (INT64_C(1) << 40)        /* seconds; past the year 30,000 */

#define BIT_FAR 1
#define BIT_NO_CACHE 2
#define BIT_NO_STALE 4
#define BIT_WINDOWS_ONLY 8
#define BITS_ALL 15

static bool is_instant(int64_t s)
{
    return s >= -AT_MAX && s <= AT_MAX;
}

static bool is_duration(int64_t s)
{
    return s >= POLICY_NONE && s <= POLICY_SECONDS_MAX;
}

static bool facts_sane(const struct policy_facts *f)
{
    return is_instant(f->requested_at_s) && is_instant(f->received_at_s) &&
           is_instant(f->date_at_s) && is_instant(f->expires_at_s) &&
           is_instant(f->modified_at_s) && is_duration(f->age_s) && is_duration(f->max_age_s) &&
           is_duration(f->stale_refresh_s) && is_duration(f->stale_error_s);
}

static bool rep_sane(const struct store_rep *r)
{
    return r->encoding <= POLICY_ENCODING_OTHER &&
           r->flags <= (STORE_REP_DERIVED | STORE_REP_BEST) && r->body_id > 0 &&
           r->body_id <= ID_MAX && r->bytes <= BODY_MAX;
}

/* Holds for all that is written and all that is read. */
static bool record_sane(const struct store_record *r)
{
    if (r->key.len == 0 || r->key.len + r->vary.len + r->head.len > STORE_FAR_MAX - 8)
        return false;
    if (r->kind == STORE_VARY)
        return r->head.len == 0;
    if (r->kind != STORE_OBJECT || r->status < 100 || r->status > 599 || r->rep_count == 0 ||
        r->rep_count > STORE_REPS || r->tag_count > STORE_TAGS || !facts_sane(&r->facts))
        return false;
    for (unsigned i = 0; i < r->rep_count; i++)
        if (!rep_sane(&r->rep[i]))
            return false;
    return true;
}

/* Bytes of the record without key, vary and head. */
static size_t near_bytes(const struct store_record *r)
{
    size_t len = HASH_BYTES + 1 + 1 + 2 + 1 + 8; /* kind, version, flags, bits, fill_no */
    if (r->kind == STORE_VARY)
        return len + 4;
    return len + 2 + 9 * 8 + 1 + (size_t)r->rep_count * 26 + 1 + (size_t)r->tag_count * 8;
}

size_t store_record_far_bytes(const struct store_record *r)
{
    size_t texts = 4 + r->key.len + 4 + r->vary.len + r->head.len;
    return near_bytes(r) + texts <= STORE_RECORD_MAX ? 0 : texts;
}

static void put_texts(struct cursor *c, const struct store_record *r)
{
    cursor_put_u32(c, (uint32_t)r->key.len);
    cursor_put_bytes(c, r->key);
    cursor_put_u32(c, (uint32_t)r->vary.len);
    cursor_put_bytes(c, r->vary);
    cursor_put_bytes(c, r->head);
}

static void get_texts(struct cursor *c, struct store_record *r)
{
    r->key = cursor_get_bytes(c, cursor_get_u32(c));
    r->vary = cursor_get_bytes(c, cursor_get_u32(c));
    r->head = cursor_get_bytes(c, cursor_left(c));
}

static void put_facts(struct cursor *c, const struct policy_facts *f)
{
    cursor_put_u64(c, (uint64_t)f->requested_at_s);
    cursor_put_u64(c, (uint64_t)f->received_at_s);
    cursor_put_u64(c, (uint64_t)f->date_at_s);
    cursor_put_u64(c, (uint64_t)f->expires_at_s);
    cursor_put_u64(c, (uint64_t)f->modified_at_s);
    cursor_put_u64(c, (uint64_t)f->age_s);
    cursor_put_u64(c, (uint64_t)f->max_age_s);
    cursor_put_u64(c, (uint64_t)f->stale_refresh_s);
    cursor_put_u64(c, (uint64_t)f->stale_error_s);
}

static void get_facts(struct cursor *c, struct policy_facts *f, uint8_t bits)
{
    f->requested_at_s = (int64_t)cursor_get_u64(c);
    f->received_at_s = (int64_t)cursor_get_u64(c);
    f->date_at_s = (int64_t)cursor_get_u64(c);
    f->expires_at_s = (int64_t)cursor_get_u64(c);
    f->modified_at_s = (int64_t)cursor_get_u64(c);
    f->age_s = (int64_t)cursor_get_u64(c);
    f->max_age_s = (int64_t)cursor_get_u64(c);
    f->stale_refresh_s = (int64_t)cursor_get_u64(c);
    f->stale_error_s = (int64_t)cursor_get_u64(c);
    f->no_cache = bits & BIT_NO_CACHE;
    f->no_stale = bits & BIT_NO_STALE;
    f->windows_only = bits & BIT_WINDOWS_ONLY;
}

static uint8_t bits_of(const struct store_record *r, bool is_far)
{
    const struct policy_facts *f = &r->facts;
    unsigned bits = is_far ? BIT_FAR : 0;
    if (r->kind == STORE_OBJECT)
        bits |= (f->no_cache ? BIT_NO_CACHE : 0u) | (f->no_stale ? BIT_NO_STALE : 0u) |
                (f->windows_only ? BIT_WINDOWS_ONLY : 0u);
    return (uint8_t)bits;
}

static void put_object(struct cursor *c, const struct store_record *r)
{
    cursor_put_u16(c, r->status);
    put_facts(c, &r->facts);
    cursor_put_u8(c, r->rep_count);
    for (unsigned i = 0; i < r->rep_count; i++) {
        const struct store_rep *rep = &r->rep[i];
        cursor_put_u8(c, rep->encoding);
        cursor_put_u8(c, rep->flags);
        cursor_put_u64(c, rep->body_id);
        cursor_put_u64(c, rep->bytes);
        cursor_put_u64(c, rep->xxh3);
    }
    cursor_put_u8(c, r->tag_count);
    for (unsigned i = 0; i < r->tag_count; i++)
        cursor_put_u64(c, r->tag_hash[i]);
}

static void get_object(struct cursor *c, struct store_record *r, uint8_t bits)
{
    r->status = cursor_get_u16(c);
    get_facts(c, &r->facts, bits);
    r->rep_count = cursor_get_u8(c);
    for (unsigned i = 0; i < r->rep_count && i < STORE_REPS; i++) {
        struct store_rep *rep = &r->rep[i];
        rep->encoding = cursor_get_u8(c);
        rep->flags = cursor_get_u8(c);
        rep->body_id = cursor_get_u64(c);
        rep->bytes = cursor_get_u64(c);
        rep->xxh3 = cursor_get_u64(c);
    }
    r->tag_count = cursor_get_u8(c);
    for (unsigned i = 0; i < r->tag_count && i < STORE_TAGS; i++)
        r->tag_hash[i] = cursor_get_u64(c);
}

enum err store_record_encode(const struct store_record *r, uint64_t far_id,
                             uint8_t out[STORE_RECORD_MAX], size_t *out_len, uint8_t *far,
                             size_t far_room)
{
    if (!record_sane(r))
        return ERR_LIMIT;
    size_t far_bytes = store_record_far_bytes(r);
    if (far_bytes > 0 && (far_bytes > far_room || far_id == 0 || far_id > ID_MAX))
        return ERR_LIMIT;

    struct cursor c;
    cursor_write(&c, out + HASH_BYTES, STORE_RECORD_MAX - HASH_BYTES);
    cursor_put_u8(&c, (uint8_t)r->kind);
    cursor_put_u8(&c, VERSION);
    cursor_put_u16(&c, r->flags);
    cursor_put_u8(&c, bits_of(r, far_bytes > 0));
    cursor_put_u64(&c, r->fill_no);
    if (r->kind == STORE_OBJECT)
        put_object(&c, r);
    else
        cursor_put_u32(&c, r->variants);
    if (far_bytes > 0) {
        struct cursor f;
        cursor_write(&f, far, far_room);
        put_texts(&f, r);
        must(f.err == ERR_OK && f.at == far_bytes);
        cursor_put_u64(&c, far_id);
        cursor_put_u32(&c, (uint32_t)far_bytes);
        cursor_put_u64(&c, hash_xxh3(span_of(far, far_bytes)));
    } else {
        put_texts(&c, r);
    }
    if (c.err != ERR_OK)
        return ERR_LIMIT;
    struct cursor h;
    cursor_write(&h, out, HASH_BYTES);
    cursor_put_u64(&h, hash_xxh3(span_of(out + HASH_BYTES, c.at)));
    *out_len = HASH_BYTES + c.at;
    return ERR_OK;
}

struct far_place {
    uint64_t id, xxh3;
    uint32_t bytes; /* 0: no far block */
};

/* All but the far block's content. Leaves texts empty when there is one. */
static enum err decode_near(struct span bytes, struct store_record *r, struct far_place *far)
{
    struct cursor c;
    *far = (struct far_place){0};
    *r = (struct store_record){0};
    if (bytes.len < HASH_BYTES || bytes.len > STORE_RECORD_MAX)
        return ERR_CORRUPT;
    cursor_read(&c, bytes);
    if (cursor_get_u64(&c) != hash_xxh3(span_from(bytes, HASH_BYTES)))
        return ERR_CORRUPT;
    uint8_t kind = cursor_get_u8(&c);
    if ((kind != STORE_OBJECT && kind != STORE_VARY) || cursor_get_u8(&c) != VERSION)
        return ERR_CORRUPT;
    r->kind = kind;
    r->flags = cursor_get_u16(&c);
    uint8_t bits = cursor_get_u8(&c);
    r->fill_no = cursor_get_u64(&c);
    if (bits & ~(kind == STORE_OBJECT ? BITS_ALL : BIT_FAR))
        return ERR_CORRUPT;
    if (kind == STORE_OBJECT)
        get_object(&c, r, bits);
    else
        r->variants = cursor_get_u32(&c);
    if (r->rep_count > STORE_REPS || r->tag_count > STORE_TAGS)
        return ERR_CORRUPT;
    if (bits & BIT_FAR) {
        far->id = cursor_get_u64(&c);
        far->bytes = cursor_get_u32(&c);
        far->xxh3 = cursor_get_u64(&c);
        if (cursor_left(&c) > 0 || far->id == 0 || far->id > ID_MAX || far->bytes == 0 ||
            far->bytes > STORE_FAR_MAX)
            return ERR_CORRUPT;
    } else {
        get_texts(&c, r);
    }
    return c.err == ERR_OK ? ERR_OK : ERR_CORRUPT;
}

bool store_record_far(struct span bytes, uint64_t *out_far_id, size_t *out_far_bytes)
{
    struct store_record r;
    struct far_place far;
    if (decode_near(bytes, &r, &far) != ERR_OK || far.bytes == 0)
        return false;
    *out_far_id = far.id;
    *out_far_bytes = far.bytes;
    return true;
}

enum err store_record_decode(struct span bytes, struct span far, struct store_record *out)
{
    struct store_record r;
    struct far_place place;
    if (decode_near(bytes, &r, &place) != ERR_OK)
        return ERR_CORRUPT;
    if (place.bytes != far.len)
        return ERR_CORRUPT;
    if (place.bytes > 0) {
        struct cursor c;
        if (place.xxh3 != hash_xxh3(far))
            return ERR_CORRUPT;
        cursor_read(&c, far);
        get_texts(&c, &r);
        if (c.err != ERR_OK)
            return ERR_CORRUPT;
    }
    if (!record_sane(&r) || store_record_far_bytes(&r) != far.len)
        return ERR_CORRUPT;
    *out = r;
    return ERR_OK;
}

enum err store_record_decode_near(struct span bytes, struct store_record *out)
{
    struct store_record r;
    struct far_place place;
    if (decode_near(bytes, &r, &place) != ERR_OK)
        return ERR_CORRUPT;
    if (place.bytes > 0)
        r.key = SPAN("?"); /* only so that the check below holds */
    if (!record_sane(&r))
        return ERR_CORRUPT;
    if (place.bytes > 0)
        r.key = (struct span){0};
    *out = r;
    return ERR_OK;
}
