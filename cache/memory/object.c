#include "cache/memory/object.h"

#include <stdlib.h>

#include "base/arena.h"
#include "cache/memory/epoch.h"
#include "cache/memory/pin.h"
#include "cache/memory/tier.h"

/* Bodies up to here are copied when a merged 304 makes a new object of an old one; larger ones
 * stay where they are and are shared. */
#define COPY_BYTES ((size_t)16384)

struct memory_object *memory_object_hold(struct memory_object *o)
{
    atomic_fetch_add_explicit(&o->holders, 1, memory_order_relaxed);
    return o;
}

/* Nests once, because a form has no forms. */
void memory_object_drop(struct memory_object *o)
{
    while (o && atomic_fetch_sub_explicit(&o->holders, 1, memory_order_acq_rel) == 1) {
        struct memory_object *owner = o->body_owner;
        struct memory_tier *t = o->tier;
        atomic_fetch_sub_explicit(&t->memory_bytes, o->bytes, memory_order_relaxed);
        for (uint8_t i = 0; i < o->form_count; i++)
            memory_object_drop(o->form[i]);
        if (o->body_id)
            memory_pin_release(t->pins, o->body_id);
        if (o->base_body_id)
            memory_pin_release(t->pins, o->base_body_id);
        free(o);
        o = owner;
    }
}

bool memory_object_same_body(const struct memory_object *a, const struct memory_object *b)
{
    return a->body_no == b->body_no || (a->body_id && a->body_id == b->body_id);
}

static size_t lines_bytes(const struct http_fields *f)
{
    size_t bytes = 0;
    for (uint32_t i = 0; f && i < f->count; i++)
        bytes += f->at[i].name.len + f->at[i].value.len + 4;
    return bytes;
}

static char *put(char *at, const void *bytes, size_t len)
{
    if (len)
        memcpy(at, bytes, len);
    return at + len;
}

static char *put_lines(char *at, const struct http_fields *from, struct http_fields *to)
{
    for (uint32_t i = 0; from && i < from->count; i++) {
        struct http_field *f = &to->at[to->count++];
        f->id = from->at[i].id;
        f->name = span_of(at, from->at[i].name.len);
        at = put(at, from->at[i].name.ptr, f->name.len);
        at = put(at, ": ", 2);
        f->value = span_of(at, from->at[i].value.len);
        at = put(at, from->at[i].value.ptr, f->value.len);
        at = put(at, "\r\n", 2);
    }
    return at;
}

static void set_plain(struct memory_object *o, const struct memory_seed *s)
{
    atomic_init(&o->holders, 1);
    o->key = s->key;
    o->facts = s->facts;
    o->status = s->status;
    o->body_bytes = s->body_bytes;
    o->body_id = s->body_id;
    o->fill_no = s->fill_no;
    o->stored = s->stored;
    o->encoding = s->encoding;
    o->derived = s->derived;
    o->best = s->best;
    o->base_body_id = s->base_body_id;
    atomic_init(&o->body_xxh3, s->body_xxh3);
    atomic_init(&o->soft_purged, s->soft_purged);
    atomic_init(&o->marks, s->marks);
    atomic_init(&o->hits, s->hits);
    atomic_init(&o->waits, false);
}

static void set_forms(struct memory_object *o, const struct memory_seed *s)
{
    must(s->form_count <= MEMORY_FORMS && !(s->derived && s->form_count));
    for (uint8_t i = 0; i < s->form_count; i++)
        o->form[i] = memory_object_hold(s->form[i]);
    o->form_count = s->form_count;
}

static uint64_t body_no(struct memory_tier *t, const struct memory_seed *s)
{
    if (s->body_of)
        return s->body_of->body_no;
    if (s->body_no)
        return s->body_no;
    return atomic_fetch_add_explicit(&t->bodies, 1, memory_order_relaxed) + 1;
}

static void set_body(struct memory_object *o, const struct memory_seed *s, char *room,
                     bool copy)
{
    struct memory_object *of = s->body_of;
    if (s->body_room) {
        o->body = span_of(room, s->body_room);
        o->body_in_memory = true;
    } else if (of) {
        o->body_in_memory = of->body_in_memory;
        o->body = of->body;
        if (copy) {
            put(room, of->body.ptr, of->body.len);
            o->body = span_of(room, of->body.len);
        } else if (of->body_in_memory) {
            o->body_owner = memory_object_hold(of->body_owner ? of->body_owner : of);
        }
    } else if (s->body_bytes == 0) {
        o->body_in_memory = true;
    }
}

struct memory_object *memory_object_create(struct memory_tier *t, const struct memory_seed *s)
{
    struct memory_object *of = s->body_of;
    bool copy = of && of->body_in_memory && of->body.len <= COPY_BYTES;
    size_t sent = s->fields ? s->fields->count : 0, hidden = s->hidden ? s->hidden->count : 0;
    size_t sent_bytes = lines_bytes(s->fields);
    size_t bytes = sizeof(struct memory_object) + s->tag_count * sizeof(uint64_t) +
                   (sent + hidden) * sizeof(struct http_field) + sent_bytes +
                   lines_bytes(s->hidden) + 2 + s->key_text.len + s->vary_text.len +
                   s->body_room + (copy ? of->body.len : 0);
    struct memory_object *o = malloc(bytes);
    if (!o)
        return NULL;
    memset(o, 0, sizeof(*o));
    set_plain(o, s);
    set_forms(o, s);
    o->body_no = body_no(t, s);
    o->tier = t;
    o->bytes = bytes;
    uint64_t *tags = (uint64_t *)(void *)(o + 1);
    put((char *)tags, s->tag_hash, s->tag_count * sizeof(uint64_t));
    o->tag_hash = tags;
    o->tag_count = s->tag_count;
    o->kept.at = (struct http_field *)(void *)(tags + s->tag_count);
    o->kept.room = (uint32_t)(sent + hidden);
    char *at = (char *)(o->kept.at + sent + hidden);
    o->block.lines = span_of(at, sent_bytes);
    at = put_lines(at, s->fields, &o->kept);
    o->block.fields = (struct http_fields){o->kept.at, (uint32_t)sent, (uint32_t)sent};
    at = hidden ? put(at, "\r\n", 2) : at;
    at = put_lines(at, s->hidden, &o->kept);
    o->head_text = span_of(o->block.lines.ptr, (size_t)(at - o->block.lines.ptr));
    o->key_text = span_of(at, s->key_text.len);
    at = put(at, s->key_text.ptr, s->key_text.len);
    o->vary_text = span_of(at, s->vary_text.len);
    at = put(at, s->vary_text.ptr, s->vary_text.len);
    set_body(o, s, at, copy);
    atomic_fetch_add_explicit(&t->memory_bytes, bytes, memory_order_relaxed);
    if (o->body_id)
        memory_pin_hold(t->pins, o->body_id);
    if (o->base_body_id)
        memory_pin_hold(t->pins, o->base_body_id);
    return o;
}

struct http_fields memory_object_hidden(const struct memory_object *o)
{
    uint32_t sent = o->block.fields.count;
    return (struct http_fields){o->kept.at + sent, o->kept.count - sent, o->kept.room - sent};
}

void memory_object_seed(const struct memory_object *o, struct http_fields *hidden,
                        struct memory_seed *out)
{
    *hidden = memory_object_hidden(o);
    *out = (struct memory_seed){
        .key = o->key,
        .key_text = o->key_text,
        .vary_text = o->vary_text,
        .facts = o->facts,
        .status = o->status,
        .fields = &o->block.fields,
        .hidden = hidden,
        .body_bytes = o->body_bytes,
        .body_id = o->body_id,
        .body_xxh3 = atomic_load_explicit(&o->body_xxh3, memory_order_acquire),
        .fill_no = o->fill_no,
        .tag_hash = o->tag_hash,
        .tag_count = o->tag_count,
        .stored = o->stored,
        .soft_purged = atomic_load_explicit(&o->soft_purged, memory_order_relaxed),
        .body_no = o->body_no,
        .encoding = o->encoding,
        .marks = atomic_load_explicit(&o->marks, memory_order_relaxed),
        .derived = o->derived,
        .best = o->best,
        .base_body_id = o->base_body_id,
        .hits = atomic_load_explicit(&o->hits, memory_order_relaxed),
        .form_count = o->form_count,
    };
    memcpy(out->form, o->form, sizeof(out->form));
}

char *memory_object_body_room(struct memory_object *o)
{
    size_t head = (size_t)(o->body.ptr - (const char *)o);
    must(head < o->bytes || o->body.len == 0);
    return (char *)o + head;
}

bool memory_object_parse_head(struct span head_text, struct arena *a, struct http_fields *sent,
                              struct http_fields *hidden)
{
    struct http_fields *to = sent;
    while (head_text.len) {
        size_t end, colon;
        if (!span_find(head_text, '\n', &end) || end == 0)
            return false;
        struct span line = span_until(head_text, end - 1);
        head_text = span_from(head_text, end + 1);
        if (line.len == 0) {
            to = hidden;
            continue;
        }
        if (!span_find(line, ':', &colon) || colon + 2 > line.len ||
            !http_fields_add(to, a, span_until(line, colon), span_from(line, colon + 2)))
            return false;
    }
    return true;
}

bool memory_object_names(struct span key_text, struct arena *a, struct memory_names *out)
{
    size_t bar, colon, space;
    struct span rest = key_text;
    if (!span_find(rest, '|', &bar))
        return false;
    rest = span_from(rest, bar + 1);
    if (!span_find(rest, '|', &bar))
        return false;
    struct span host = span_until(rest, bar), path = span_from(rest, bar + 1);
    if (span_rfind(host, ':', &colon))
        host = span_until(host, colon);
    if (span_find(path, ' ', &space))
        path = span_until(path, space);
    char *url = arena_alloc(a, host.len + path.len + 1);
    if (!url)
        return false;
    put(put(url, host.ptr, host.len), path.ptr, path.len);
    *out = (struct memory_names){
        .url = span_of(url, host.len + path.len),
        .host = span_of(url, host.len),
        .path_query = span_of(url + host.len, path.len),
    };
    return true;
}
