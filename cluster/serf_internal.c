#include "cluster/serf_core.h"

/* --- _serf_conflict: who do we think has this name? --- */

/* The tags as a map; empty: they cannot be read. */
static struct span tags_of(struct span meta, uint8_t *room, size_t bytes)
{
    struct wire_serf_tags walk;
    struct wire_serf_tag tag;
    struct cursor c;
    size_t count = 0;
    wire_serf_tags_begin(&walk, meta);
    while (wire_serf_tags_next(&walk, &tag))
        count++;
    if (walk.walk.in.err != ERR_OK)
        return span_of(NULL, 0);
    cursor_write(&c, room, bytes);
    wire_msgpack_put_map(&c, count);
    wire_serf_tags_begin(&walk, meta);
    while (wire_serf_tags_next(&walk, &tag)) {
        wire_msgpack_put_raw(&c, tag.name);
        wire_msgpack_put_raw(&c, tag.value);
    }
    return c.err == ERR_OK ? span_of(room, c.at) : span_of(NULL, 0);
}

static struct span tell_member(struct cluster_serf *s, struct span name, uint8_t *room)
{
    uint8_t tags[CLUSTER_META_MAX + 32];
    static const uint8_t none[CLUSTER_VSN_BYTES];
    struct cursor c;
    const struct cluster_entry *e = cluster_serf_entry(s, name);
    if (!e || span_equal(name, cluster_serf_name(s))) /* nobody votes for itself */
        return span_of(NULL, 0);
    const uint8_t *vsn = e->member ? e->member->vsn : none;
    const struct wire_serf_message m = {
        .type = WIRE_SERF_CONFLICT,
        .conflict = {.name = cluster_entry_name(e),
                     .addr = *cluster_entry_addr(e),
                     .tags = tags_of(cluster_entry_meta(e), tags, sizeof(tags)),
                     .status = e->status,
                     .protocol_min = vsn[0],
                     .protocol_max = vsn[1],
                     .protocol_current = vsn[2],
                     .delegate_min = vsn[3],
                     .delegate_max = vsn[4],
                     .delegate_current = vsn[5]}};
    cursor_write(&c, room, CLUSTER_QUERY_BYTES);
    wire_serf_put(&c, &m);
    return c.err == ERR_OK ? span_of(room, c.at) : span_of(NULL, 0);
}

/* --- _serf_*-key: rotation --- */

static const char *reason_of(enum err err)
{
    switch (err) {
    case ERR_REFUSED:
        return "a key has 16, 24 or 32 bytes, and the key in use cannot be removed";
    case ERR_NOT_FOUND:
        return "requested key is not in the keyring";
    case ERR_LIMIT:
        return "the keyring is full";
    default:
        return err_text(err);
    }
}

static struct span list_keys(const struct wire_keyring *ring, uint8_t *room, size_t bytes)
{
    char text[WIRE_KEY_TEXT_MAX];
    struct cursor c;
    cursor_write(&c, room, bytes);
    wire_msgpack_put_array(&c, ring->count);
    for (unsigned i = 0; i < ring->count; i++)
        wire_msgpack_put_raw(&c, span_text(wire_key_print(&ring->keys[i], text)));
    return c.err == ERR_OK ? span_of(room, c.at) : span_of(NULL, 0);
}

enum key_wish { KEY_INSTALL, KEY_USE, KEY_REMOVE, KEY_LIST };

static enum err change_keys(struct wire_keyring *ring, enum key_wish wish, struct span key)
{
    switch (wish) {
    case KEY_INSTALL:
        return wire_keyring_install(ring, key);
    case KEY_USE:
        return wire_keyring_use(ring, key);
    case KEY_REMOVE:
        return wire_keyring_remove(ring, key);
    case KEY_LIST:
        break;
    }
    return ERR_OK;
}

static bool same_ring(const struct wire_keyring *a, const struct wire_keyring *b)
{
    bool same = a->count == b->count;
    for (unsigned i = 0; same && i < a->count; i++)
        same = span_equal(wire_key_span(&a->keys[i]), wire_key_span(&b->keys[i]));
    return same;
}

/* What becomes of the wish; NULL: it is done. */
static const char *do_wish(struct cluster_serf *s, enum key_wish wish, struct span payload)
{
    struct wire_serf_message m;
    struct wire_keyring ring = s->keyring;
    if (s->keyring.count == 0)
        return wish == KEY_LIST ? "Keyring is empty (encryption not enabled)"
                                : "No keyring to modify (encryption not enabled)";
    if (wish == KEY_LIST)
        return NULL;
    if (wire_serf_get(payload, &m) != WIRE_FAULT_NONE || m.type != WIRE_SERF_KEY_REQUEST)
        return "not a key request";
    enum err err = change_keys(&ring, wish, m.key_request.key);
    if (err != ERR_OK)
        return reason_of(err);
    if (same_ring(&ring, &s->keyring))
        return NULL;
    s->keyring = ring;
    s->counters.key_changes++;
    if (s->news.keyring)
        s->news.keyring(s->news.user, &ring);
    return NULL;
}

static struct span answer_keys(struct cluster_serf *s, enum key_wish wish, struct span payload,
                               uint8_t *room)
{
    uint8_t keys[WIRE_KEYS_MAX * (WIRE_KEY_TEXT_MAX + 3) + 8];
    char primary[WIRE_KEY_TEXT_MAX];
    struct cursor c;
    const char *refused = do_wish(s, wish, payload);
    bool list = wish == KEY_LIST && !refused;
    const struct wire_serf_message m = {
        .type = WIRE_SERF_KEY_RESPONSE,
        .key_response = {
            .result = !refused,
            .message = span_text(refused ? refused : ""),
            .keys = list ? list_keys(&s->keyring, keys, sizeof(keys)) : span_of(NULL, 0),
            .primary_key = list ? span_text(wire_key_print(&s->keyring.keys[0], primary))
                                : span_of(NULL, 0)}};
    cursor_write(&c, room, CLUSTER_QUERY_BYTES);
    wire_serf_put(&c, &m);
    return c.err == ERR_OK ? span_of(room, c.at) : span_of(NULL, 0);
}

struct span cluster_serf_internal(struct cluster_serf *s, struct span name, struct span payload,
                                  uint8_t *room)
{
    static const struct {
        struct span name;
        enum key_wish wish;
    } keys[] = {
        {{"_serf_install-key", 17}, KEY_INSTALL},
        {{"_serf_use-key", 13}, KEY_USE},
        {{"_serf_remove-key", 16}, KEY_REMOVE},
        {{"_serf_list-keys", 15}, KEY_LIST},
    };
    if (span_equal(name, SPAN("_serf_conflict")))
        return tell_member(s, payload, room);
    for (unsigned i = 0; i < ARRAY_LEN(keys); i++)
        if (span_equal(name, keys[i].name))
            return answer_keys(s, keys[i].wish, payload, room);
    return span_of(NULL, 0); /* _serf_ping: its ack is the answer */
}
