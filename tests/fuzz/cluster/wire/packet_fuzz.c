/* A packet: every message that comes out is written, read back as the same, and a Serf message
 * in it likewise. A packed and sealed copy of them gives the same messages. */
#include "cluster/wire/packet.h"
#include "cluster/wire/serf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t once[2 * WIRE_PACKET_MAX], twice[2 * WIRE_PACKET_MAX];

static struct span write_message(const struct wire_message *m, uint8_t *room)
{
    struct cursor c;
    cursor_write(&c, room, 2 * WIRE_PACKET_MAX);
    wire_message_put(&c, m);
    must(c.err == ERR_OK);
    return span_of(room, c.at);
}

static void walk_inside(const struct wire_serf_message *m)
{
    struct wire_msgpack_walk walk;
    struct wire_serf_filter filter;
    struct wire_serf_events events;
    struct wire_serf_event event;
    if (m->type == WIRE_SERF_QUERY) {
        wire_msgpack_walk_array(&walk, m->query.filters);
        while (wire_serf_filter_next(&walk, &filter))
            ;
    }
    if (m->type == WIRE_SERF_PUSH_PULL) {
        wire_serf_events_begin(&events, &m->push_pull);
        while (wire_serf_events_next(&events, &event))
            ;
        must(events.slots.in.err == ERR_OK && events.slot.in.err == ERR_OK);
    }
}

static void check_serf(struct span bytes)
{
    struct wire_serf_message m, again;
    struct cursor c, d;
    if (wire_serf_get(bytes, &m) != WIRE_FAULT_NONE)
        return;
    walk_inside(&m);
    if (m.type == WIRE_SERF_PUSH_PULL)
        return;
    cursor_write(&c, once, sizeof(once));
    wire_serf_put(&c, &m);
    must(c.err == ERR_OK);
    must(wire_serf_get(span_of(once, c.at), &again) == WIRE_FAULT_NONE);
    cursor_write(&d, twice, sizeof(twice));
    wire_serf_put(&d, &again);
    must(span_equal(span_of(once, c.at), span_of(twice, d.at)));
}

static void check_inside(const struct wire_message *m)
{
    struct wire_serf_tags tags;
    struct wire_serf_tag tag;
    struct wire_serf_coordinate v;
    if (m->type == WIRE_USER)
        check_serf(m->user);
    if (m->type == WIRE_ACK)
        (void)!wire_serf_coordinate_get(m->ack.payload, &v);
    if (m->type == WIRE_ALIVE) {
        wire_serf_tags_begin(&tags, m->alive.meta);
        while (wire_serf_tags_next(&tags, &tag))
            ;
    }
}

/* The packed messages, sealed or not, come out as they went in. */
static void check_pack(const struct wire_pack *p, const struct wire_keyring *ring)
{
    static struct wire_scratch scratch;
    static const uint8_t nonce[WIRE_NONCE_BYTES] = {3};
    uint8_t room[WIRE_PACKET_SEND_MAX];
    struct wire_packet packet;
    struct wire_message m;
    enum wire_fault fault;
    struct cursor c;
    size_t at = 0, given = 0;
    cursor_write(&c, room, sizeof(room));
    wire_pack_finish(p, true, ring, nonce, &c);
    must(c.err == ERR_OK);
    wire_packet_begin(&packet, span_of(room, c.at), ring, &scratch);
    while (wire_packet_next(&packet, &m, &fault)) {
        must(fault == WIRE_FAULT_NONE);
        struct span bytes = write_message(&m, once);
        must(span_equal(bytes, span_of(p->bytes + at, bytes.len)));
        at += bytes.len;
        given++;
    }
    must(given == p->parts && at == p->used);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct wire_scratch scratch;
    static struct wire_pack pack;
    struct wire_keyring ring = {.count = 0};
    struct wire_packet p;
    struct wire_message m, again;
    enum wire_fault fault;
    size_t steps = 0;
    must(wire_keyring_install(&ring, SPAN("0123456789abcdef")) == ERR_OK);
    wire_pack_init(&pack, true);
    wire_packet_begin(&p, span_of(data, size), NULL, &scratch);
    while (wire_packet_next(&p, &m, &fault)) {
        must(++steps <= 3 * WIRE_PACKET_MAX);
        must(fault < WIRE_FAULTS);
        if (fault != WIRE_FAULT_NONE)
            continue;
        struct span bytes = write_message(&m, once);
        must(wire_message_get(bytes, &again) == WIRE_FAULT_NONE);
        must(span_equal(write_message(&again, twice), bytes));
        (void)wire_pack_add(&pack, bytes);
        check_inside(&m);
    }
    if (pack.parts > 0) {
        check_pack(&pack, &ring);
        check_pack(&pack, NULL);
    }
    /* With keys, nothing that nobody sealed is a message. */
    wire_packet_begin(&p, span_of(data, size), &ring, &scratch);
    must(wire_packet_next(&p, &m, &fault) && fault != WIRE_FAULT_NONE);
    must(!wire_packet_next(&p, &m, &fault));
    return 0;
}
