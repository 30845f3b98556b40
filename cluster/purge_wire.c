#include "cluster/purge_wire.h"

#include "base/cursor.h"

#define REQUEST_HEAD (1 + 1 + 1 + 8 + 4)
#define ANSWER_HEAD (1 + 1 + 8 + 4)
#define RECORD_HEAD (4 * 8 + 2 + 6)

/* --- writing --- */

static bool room_for(struct buf *out, struct cursor *c, size_t bytes)
{
    char *room = buf_reserve(out, bytes);
    if (room)
        cursor_write(c, room, bytes);
    return room != NULL;
}

static void wrote(struct buf *out, const struct cursor *c)
{
    must(c->err == ERR_OK);
    buf_grew(out, c->at);
}

static void put_counted32(struct cursor *c, struct span bytes)
{
    cursor_put_u32(c, (uint32_t)bytes.len);
    cursor_put_bytes(c, bytes);
}

void purge_wire_put_request(struct buf *out, const struct purge_wire_request *r)
{
    struct cursor c;
    if (!room_for(out, &c, REQUEST_HEAD + r->vector.len + 16))
        return;
    cursor_put_u8(&c, PURGE_WIRE_VERSION);
    cursor_put_u8(&c, (uint8_t)r->kind);
    cursor_put_u8(&c, r->flags);
    cursor_put_u64(&c, r->members_hash);
    put_counted32(&c, r->vector);
    if (r->kind == PURGE_WIRE_PULL) {
        cursor_put_u64(&c, r->stream);
        cursor_put_u64(&c, r->after);
    }
    wrote(out, &c);
}

void purge_wire_put_answer(struct buf *out, const struct purge_wire_answer *a,
                           enum purge_wire_kind to)
{
    struct cursor c;
    if (!room_for(out, &c, ANSWER_HEAD + a->vector.len + 4 + a->members.len + 16))
        return;
    cursor_put_u8(&c, PURGE_WIRE_VERSION);
    cursor_put_u8(&c, a->flags);
    cursor_put_u64(&c, a->members_hash);
    put_counted32(&c, a->vector);
    put_counted32(&c, a->members);
    if (to == PURGE_WIRE_PULL) {
        cursor_put_u64(&c, a->floor);
        cursor_put_u64(&c, a->through);
    }
    wrote(out, &c);
}

void purge_wire_set_page(struct buf *out, const struct purge_wire_answer *a)
{
    struct cursor c;
    size_t at = ANSWER_HEAD + a->vector.len + 4 + a->members.len + 8;
    must(buf_len(out) >= at + 8);
    cursor_write(&c, out->mem + out->from, at + 8);
    cursor_put_u8(&c, PURGE_WIRE_VERSION);
    cursor_put_u8(&c, a->flags);
    c.at = at;
    cursor_put_u64(&c, a->through);
    must(c.err == ERR_OK);
}

void purge_wire_put_record(struct buf *out, const struct cluster_purge_record *r)
{
    struct cursor c;
    size_t bytes = RECORD_HEAD + r->node.len + r->purge.site.len + r->purge.selector.len;
    if (!room_for(out, &c, bytes))
        return;
    cursor_put_u64(&c, r->stream);
    cursor_put_u64(&c, r->seq);
    cursor_put_u64(&c, r->dedup);
    cursor_put_u64(&c, (uint64_t)r->accepted_at_s);
    cursor_put_u8(&c, (uint8_t)r->purge.kind);
    cursor_put_u8(&c, (uint8_t)r->purge.mode);
    cursor_put_counted16(&c, r->node);
    cursor_put_counted16(&c, r->purge.site);
    cursor_put_counted16(&c, r->purge.selector);
    wrote(out, &c);
}

void purge_wire_put_member(struct buf *out, const struct cluster_purge_member *m)
{
    struct cursor c;
    if (!room_for(out, &c, 7 + m->id.len))
        return;
    cursor_put_u32(&c, m->generation);
    cursor_put_u8(&c, m->left);
    cursor_put_counted16(&c, m->id);
    wrote(out, &c);
}

/* --- reading --- */

static struct span get_counted32(struct cursor *c)
{
    uint32_t len = cursor_get_u32(c);
    return cursor_get_bytes(c, len);
}

static struct span get_rest(struct cursor *c)
{
    return cursor_get_bytes(c, cursor_left(c));
}

enum err purge_wire_read_request(struct span body, struct purge_wire_request *out)
{
    struct cursor c;
    cursor_read(&c, body);
    unsigned version = cursor_get_u8(&c), kind = cursor_get_u8(&c);
    *out = (struct purge_wire_request){.kind = (enum purge_wire_kind)kind};
    out->flags = cursor_get_u8(&c);
    out->members_hash = cursor_get_u64(&c);
    out->vector = get_counted32(&c);
    if (kind == PURGE_WIRE_PUSH)
        out->records = get_rest(&c);
    if (kind == PURGE_WIRE_PULL) {
        out->stream = cursor_get_u64(&c);
        out->after = cursor_get_u64(&c);
    }
    if (c.err || cursor_left(&c) || version != PURGE_WIRE_VERSION || kind < PURGE_WIRE_PUSH ||
        kind > PURGE_WIRE_PULL)
        return ERR_SYNTAX;
    return ERR_OK;
}

enum err purge_wire_read_answer(struct span body, enum purge_wire_kind to,
                                struct purge_wire_answer *out)
{
    struct cursor c;
    cursor_read(&c, body);
    unsigned version = cursor_get_u8(&c);
    *out = (struct purge_wire_answer){.flags = cursor_get_u8(&c)};
    out->members_hash = cursor_get_u64(&c);
    out->vector = get_counted32(&c);
    out->members = get_counted32(&c);
    if (to == PURGE_WIRE_PULL) {
        out->floor = cursor_get_u64(&c);
        out->through = cursor_get_u64(&c);
        out->records = get_rest(&c);
    }
    return c.err || cursor_left(&c) || version != PURGE_WIRE_VERSION ? ERR_SYNTAX : ERR_OK;
}

enum err purge_wire_next_record(struct span *rest, struct cluster_purge_record *out)
{
    struct cursor c;
    cursor_read(&c, *rest);
    *out =
        (struct cluster_purge_record){.stream = cursor_get_u64(&c), .seq = cursor_get_u64(&c)};
    out->dedup = cursor_get_u64(&c);
    out->accepted_at_s = (int64_t)cursor_get_u64(&c);
    out->purge.kind = (enum purge_kind)cursor_get_u8(&c);
    out->purge.mode = (enum purge_mode)cursor_get_u8(&c);
    out->node = cursor_get_counted16(&c);
    out->purge.site = cursor_get_counted16(&c);
    out->purge.selector = cursor_get_counted16(&c);
    if (c.err || out->stream == 0 || out->seq == 0 || out->node.len > CLUSTER_PURGE_NODE_MAX ||
        purge_check(&out->purge) != ERR_OK)
        return ERR_SYNTAX;
    *rest = span_from(*rest, c.at);
    return ERR_OK;
}

enum err purge_wire_next_member(struct span *rest, struct cluster_purge_member *out)
{
    struct cursor c;
    cursor_read(&c, *rest);
    *out = (struct cluster_purge_member){.generation = cursor_get_u32(&c)};
    unsigned left = cursor_get_u8(&c);
    out->left = left != 0;
    out->id = cursor_get_counted16(&c);
    if (c.err || left > 1 || out->id.len == 0 || out->id.len > CLUSTER_PURGE_NODE_MAX)
        return ERR_SYNTAX;
    *rest = span_from(*rest, c.at);
    return ERR_OK;
}

/* --- events --- */

#define HINT_HEAD (1 + 8 + 8 + 1 + 1 + 2 + 2)

bool purge_wire_hint_holds(const struct purge *p)
{
    return HINT_HEAD + p->site.len + p->selector.len <= CLUSTER_PURGE_HINT_MAX;
}

void purge_wire_put_hint(struct buf *out, const struct purge_wire_hint *h)
{
    struct cursor c;
    size_t text = h->purge.site.len + h->purge.selector.len;
    bool whole = h->has_purge && purge_wire_hint_holds(&h->purge);
    if (!room_for(out, &c, HINT_HEAD + (whole ? text : 0)))
        return;
    cursor_put_u8(&c, PURGE_WIRE_VERSION);
    cursor_put_u64(&c, h->id.stream);
    cursor_put_u64(&c, h->id.seq);
    cursor_put_u8(&c, whole ? (uint8_t)h->purge.kind : 0);
    cursor_put_u8(&c, whole ? (uint8_t)h->purge.mode : 0);
    cursor_put_counted16(&c, whole ? h->purge.site : SPAN(""));
    cursor_put_counted16(&c, whole ? h->purge.selector : SPAN(""));
    wrote(out, &c);
}

enum err purge_wire_read_hint(struct span payload, struct purge_wire_hint *out)
{
    struct cursor c;
    cursor_read(&c, payload);
    unsigned version = cursor_get_u8(&c);
    *out = (struct purge_wire_hint){.id.stream = cursor_get_u64(&c)};
    out->id.seq = cursor_get_u64(&c);
    unsigned kind = cursor_get_u8(&c), mode = cursor_get_u8(&c);
    out->purge = (struct purge){.kind = (enum purge_kind)kind, .mode = (enum purge_mode)mode};
    out->purge.site = cursor_get_counted16(&c);
    out->purge.selector = cursor_get_counted16(&c);
    out->has_purge = kind != 0;
    if (c.err || cursor_left(&c) || version != PURGE_WIRE_VERSION ||
        (out->id.stream == 0) != (out->id.seq == 0))
        return ERR_SYNTAX;
    if (!out->has_purge)
        return mode || out->purge.site.len || out->purge.selector.len || !out->id.stream
                   ? ERR_SYNTAX
                   : ERR_OK;
    if (out->id.stream) /* a record */
        return purge_check(&out->purge) == ERR_OK ? ERR_OK : ERR_SYNTAX;
    return purge_check_hint(&out->purge) == ERR_OK ? ERR_OK : ERR_SYNTAX;
}

enum err purge_wire_read_typed(struct span payload, struct purge *out)
{
    struct span text = span_trim(payload);
    *out = (struct purge){.kind = PURGE_URL, .mode = PURGE_HARD};
    if (span_starts(text, SPAN("soft "))) {
        out->mode = PURGE_SOFT;
        text = span_trim(span_from(text, 5));
    }
    if (span_starts(text, SPAN("/"))) {
        out->kind = PURGE_PATH;
    } else if (span_starts(text, SPAN("tag:"))) {
        out->kind = PURGE_TAG;
        text = span_from(text, 4);
    }
    out->selector = text;
    return purge_check(out) == ERR_OK ? ERR_OK : ERR_SYNTAX;
}
