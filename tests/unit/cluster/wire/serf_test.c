#include "cluster/wire/serf.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cluster/wire/packet.h"
#include "tests/unit/cluster/wire/golden.h"

/* The golden bytes begin with memberlist's type. */
static enum wire_fault read_hex(const char *hex, struct span *out_bytes,
                                struct wire_serf_message *out)
{
    *out_bytes = golden_bytes(hex);
    return wire_serf_get(span_from(*out_bytes, 1), out);
}

static void check_written(const struct wire_serf_message *m, const char *hex)
{
    uint8_t room[512];
    struct cursor c;
    cursor_write(&c, room, sizeof(room));
    wire_serf_put_user(&c, m);
    assert_int_equal(c.err, ERR_OK);
    assert_true(golden_equal(span_of(room, c.at), hex));
}

static const struct addr n4 = {.family = ADDR_V4, .ip = {127, 0, 0, 4}, .port = 7946};

static void written(void **state)
{
    (void)state;
    struct wire_serf_message m = {.type = WIRE_SERF_EVENT,
                                  .event = {1, SPAN("purge"), SPAN("/x"), true}};
    check_written(&m, GOLDEN_EVENT);
    m = (struct wire_serf_message){.type = WIRE_SERF_QUERY,
                                   .query = {.ltime = 1,
                                             .id = 0x1a8cd123,
                                             .flags = WIRE_SERF_QUERY_ACK,
                                             .addr = n4,
                                             .source_node = SPAN("n4"),
                                             .name = SPAN("who"),
                                             .payload = SPAN("hello"),
                                             .timeout_ns = INT64_C(2000000000),
                                             .relay_factor = 1}};
    check_written(&m, GOLDEN_QUERY);
    m = (struct wire_serf_message){
        .type = WIRE_SERF_RESPONSE,
        .response = {1, 0x1a8cd123, WIRE_SERF_RESPONSE_ACK, SPAN("n4"), {NULL, 0}}};
    check_written(&m, GOLDEN_RESPONSE);
    struct span relay = golden_bytes(GOLDEN_RESPONSE);
    m = (struct wire_serf_message){.type = WIRE_SERF_RELAY,
                                   .relay = {n4, SPAN("n4"), span_from(relay, 1)}};
    check_written(&m, GOLDEN_RELAY);
    golden_free(relay);
    m = (struct wire_serf_message){.type = WIRE_SERF_LEAVE, .leave = {4, SPAN("c1"), false}};
    check_written(&m, GOLDEN_LEAVE);
}

/* Read, and written to the same bytes; cut anywhere it is truncated. */
static void golden(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        enum wire_serf_type type;
    } rows[] = {
        {GOLDEN_EVENT, WIRE_SERF_EVENT},
        {GOLDEN_QUERY, WIRE_SERF_QUERY},
        {GOLDEN_RESPONSE, WIRE_SERF_RESPONSE},
        {GOLDEN_RELAY, WIRE_SERF_RELAY},
        {GOLDEN_LEAVE, WIRE_SERF_LEAVE},
        {"080182a54c54696d6501a44e6f6465a26e33", WIRE_SERF_JOIN},
        {"080781a34b6579c0", WIRE_SERF_KEY_REQUEST},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_serf_message m;
        struct span bytes;
        assert_int_equal(read_hex(rows[i].hex, &bytes, &m), WIRE_FAULT_NONE);
        assert_int_equal(m.type, rows[i].type);
        check_written(&m, rows[i].hex);
        size_t head = rows[i].type == WIRE_SERF_RELAY ? 47 : bytes.len;
        for (size_t len = 1; len < head; len++) {
            char *part = malloc(len);
            assert_non_null(part);
            memcpy(part, bytes.ptr, len);
            assert_int_equal(wire_serf_get(span_of(part + 1, len - 1), &m),
                             len > 1 ? WIRE_FAULT_TRUNCATED : WIRE_FAULT_EMPTY);
            free(part);
        }
        golden_free(bytes);
    }
}

static void read_relay(void **state)
{
    (void)state;
    struct wire_serf_message m, inner;
    struct span bytes;
    assert_int_equal(read_hex(GOLDEN_RELAY, &bytes, &m), WIRE_FAULT_NONE);
    assert_true(addr_equal(&m.relay.dest, &n4));
    assert_true(span_equal(m.relay.dest_name, SPAN("n4")));
    assert_int_equal(wire_serf_get(m.relay.message, &inner), WIRE_FAULT_NONE);
    assert_int_equal(inner.response.id, 0x1a8cd123);
    assert_null(inner.response.payload.ptr);
    golden_free(bytes);
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        enum wire_fault fault;
        const char *why;
    } rows[] = {
        {"080a80", WIRE_FAULT_UNKNOWN, "type 10"},
        {"08ff80", WIRE_FAULT_UNKNOWN, "type 255"},
        {"0803", WIRE_FAULT_TRUNCATED, "no map"},
        {"080390", WIRE_FAULT_SYNTAX, "an array"},
        {"080380", WIRE_FAULT_NONE, "nothing told is zero"},
        {"080481a746696c7465727301", WIRE_FAULT_SYNTAX, "filters that are a number"},
        {"080481a746696c746572739101", WIRE_FAULT_SYNTAX, "a filter that is a number"},
        {"080481a746696c7465727391c0", WIRE_FAULT_NONE, "a filter that is nil"},
        {"080481ab52656c6179466163746f72cd0100", WIRE_FAULT_TOO_LARGE, "256 relays"},
        {"080681a45461677381a16101", WIRE_FAULT_SYNTAX, "a tag that is a number"},
        {"080881a44b65797381a16101", WIRE_FAULT_SYNTAX, "keys that are a map"},
        {"080981a8446573744164647201", WIRE_FAULT_SYNTAX, "a destination that is a number"},
        {"080981a84465737441646472c0", WIRE_FAULT_NONE, "no destination"},
        {"080281ab4c6566744d656d6265727301", WIRE_FAULT_SYNTAX, "left: a number"},
        {"080281ac5374617475734c54696d657381a161ff", WIRE_FAULT_TOO_LARGE, "a time below 0"},
        {"080281a64576656e747301", WIRE_FAULT_SYNTAX, "events: a number"},
        {"080281a64576656e747392c0c0", WIRE_FAULT_NONE, "events: nil each"},
        {"080281a64576656e74739101", WIRE_FAULT_SYNTAX, "a slot that is a number"},
        {"080281a64576656e74739181a64576656e747301", WIRE_FAULT_SYNTAX, "its events, too"},
        {"080281a64576656e74739181a64576656e74739101", WIRE_FAULT_SYNTAX, "an event, too"},
        {"080281a64576656e747393c0", WIRE_FAULT_TRUNCATED, "more slots than bytes"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_serf_message m;
        struct span bytes;
        if (read_hex(rows[i].hex, &bytes, &m) != rows[i].fault)
            fail_msg("%s: %s", rows[i].hex, rows[i].why);
        golden_free(bytes);
    }
}

/* A packet that a real agent sent: three events and a query with two filters. */
static void captured(void **state)
{
    (void)state;
    static struct wire_scratch scratch;
    struct wire_packet p;
    struct wire_message m;
    enum wire_fault fault;
    unsigned events = 0, queries = 0;
    struct span bytes = golden_bytes(GOLDEN_CRC_COMPRESSED_EVENTS);
    wire_packet_begin(&p, bytes, NULL, &scratch);
    while (wire_packet_next(&p, &m, &fault)) {
        struct wire_serf_message s;
        uint8_t again[512];
        struct cursor c;
        assert_int_equal(fault, WIRE_FAULT_NONE);
        assert_int_equal(wire_serf_get(m.user, &s), WIRE_FAULT_NONE);
        cursor_write(&c, again, sizeof(again));
        wire_serf_put(&c, &s);
        assert_true(span_equal(span_of(again, c.at), m.user));
        events += s.type == WIRE_SERF_EVENT && span_equal(s.event.name, SPAN("purge"));
        if (s.type != WIRE_SERF_QUERY)
            continue;
        struct wire_msgpack_walk filters, names;
        struct wire_serf_filter f;
        struct span name;
        queries++;
        assert_true(span_equal(s.query.name, SPAN("hello")));
        wire_msgpack_walk_array(&filters, s.query.filters);
        assert_true(wire_serf_filter_next(&filters, &f) && !f.by_tag);
        wire_msgpack_walk_array(&names, f.nodes);
        assert_true(wire_msgpack_walk_raw(&names, &name) && span_equal(name, SPAN("n3")));
        assert_true(wire_serf_filter_next(&filters, &f) && f.by_tag);
        assert_true(span_equal(f.tag, SPAN("role")) && span_equal(f.expr, SPAN("ed.*")));
        assert_false(wire_serf_filter_next(&filters, &f));
        assert_int_equal(filters.in.err, ERR_OK);
    }
    assert_int_equal(events, 3);
    assert_int_equal(queries, 1);
    golden_free(bytes);
}

static void bad_filters(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        const char *why;
    } rows[] = {
        {"91a0", "an empty filter"},        {"91c0", "nil"},
        {"91a102", "an unknown type"},      {"91a20001", "names: a number"},
        {"91a300910a", "a name: a number"}, {"91a3010a00", "a tag: no map"},
        {"91a101", "a tag: nothing"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire_msgpack_walk filters;
        struct wire_serf_filter f;
        struct span bytes = golden_bytes(rows[i].hex);
        wire_msgpack_walk_array(&filters, bytes);
        if (wire_serf_filter_next(&filters, &f) || filters.in.err == ERR_OK)
            fail_msg("%s: %s", rows[i].hex, rows[i].why);
        golden_free(bytes);
    }
}

static void tags(void **state)
{
    (void)state;
    struct wire_serf_tags t;
    struct wire_serf_tag tag;
    struct wire_message m;
    uint8_t room[WIRE_META_MAX];
    struct cursor c;
    const struct wire_serf_tag both[] = {{SPAN("role"), SPAN("edge")},
                                         {SPAN("dc"), SPAN("eu3")}};
    struct span alive = golden_bytes(GOLDEN_ALIVE);
    assert_int_equal(wire_message_get(alive, &m), WIRE_FAULT_NONE);
    wire_serf_tags_begin(&t, m.alive.meta);
    for (size_t i = 0; i < ARRAY_LEN(both); i++) {
        assert_true(wire_serf_tags_next(&t, &tag));
        assert_true(span_equal(tag.name, both[i].name));
        assert_true(span_equal(tag.value, both[i].value));
    }
    assert_false(wire_serf_tags_next(&t, &tag));
    cursor_write(&c, room, sizeof(room));
    wire_serf_tags_put(&c, both, ARRAY_LEN(both));
    assert_true(span_equal(span_of(room, c.at), m.alive.meta));
    golden_free(alive);
    /* As old agents told it. */
    wire_serf_tags_begin(&t, SPAN("web"));
    assert_true(wire_serf_tags_next(&t, &tag));
    assert_true(span_equal(tag.name, SPAN("role")) && span_equal(tag.value, SPAN("web")));
    assert_false(wire_serf_tags_next(&t, &tag));
    /* Nothing, a mark alone, no map. */
    wire_serf_tags_begin(&t, span_of(NULL, 0));
    assert_false(wire_serf_tags_next(&t, &tag));
    wire_serf_tags_begin(&t, SPAN("\xff"));
    assert_false(wire_serf_tags_next(&t, &tag));
    wire_serf_tags_begin(&t, SPAN("\xff\x01"));
    assert_false(wire_serf_tags_next(&t, &tag));
    wire_serf_tags_begin(&t, SPAN("\xff\x83\xa1k\xa1v"));
    assert_false(wire_serf_tags_next(&t, &tag)); /* more told than there is */
    /* 512 bytes are the limit. */
    char letters[WIRE_META_MAX] = {0};
    struct wire_serf_tag big = {SPAN("k"), span_of(letters, WIRE_META_MAX - 7)};
    cursor_write(&c, room, sizeof(room));
    wire_serf_tags_put(&c, &big, 1);
    assert_true(c.err == ERR_OK && c.at == WIRE_META_MAX);
    big.value.len++;
    cursor_write(&c, room, sizeof(room));
    wire_serf_tags_put(&c, &big, 1);
    assert_int_equal(c.err, ERR_LIMIT);
}

static void coordinates(void **state)
{
    (void)state;
    /* What an agent that knows nothing yet tells: Serf's client.go, DefaultConfig. */
    static const char hex[] =
        "0184aa41646a7573746d656e74cb0000000000000000a54572726f72cb3ff8000000000000a64865696768"
        "74"
        "cb3ee4f8b588e368f1a356656398cb0000000000000000cb0000000000000000cb0000000000000000cb00"
        "00"
        "000000000000cb0000000000000000cb0000000000000000cb0000000000000000cb0000000000000000";
    /* What this node tells then. */
    static const char floats[] =
        "0184aa41646a7573746d656e74ca00000000a54572726f72ca3fc00000a6486569676874ca3727c5aca356"
        "6563"
        "98ca00000000ca00000000ca00000000ca00000000ca00000000ca00000000ca00000000ca00000000";
    const struct wire_serf_coordinate start = {.error = 1.5, .height = 1e-5};
    struct wire_serf_coordinate v;
    uint8_t room[256];
    struct cursor c;
    struct span bytes = golden_bytes(hex);
    assert_int_equal(wire_serf_coordinate_get(bytes, &v), WIRE_FAULT_NONE);
    assert_memory_equal(&v, &start, sizeof(v));
    golden_free(bytes);
    cursor_write(&c, room, sizeof(room));
    wire_serf_coordinate_put(&c, &start);
    assert_true(golden_equal(span_of(room, c.at), floats));
    assert_int_equal(wire_serf_coordinate_get(span_of(room, c.at), &v), WIRE_FAULT_NONE);
    assert_true(fabs(v.height - start.height) < 1e-12);
    v.height = start.height;
    assert_memory_equal(&v, &start, sizeof(v));
    for (size_t len = 0; len < c.at; len++)
        assert_int_equal(wire_serf_coordinate_get(span_of(room, len), &v),
                         len ? WIRE_FAULT_TRUNCATED : WIRE_FAULT_EMPTY);
    room[0] = 2;
    assert_int_equal(wire_serf_coordinate_get(span_of(room, c.at), &v), WIRE_FAULT_UNKNOWN);
    room[0] = 1;
    room[c.at - 4] = 0x7f; /* the last number becomes infinity */
    room[c.at - 3] = 0x80;
    assert_int_equal(wire_serf_coordinate_get(span_of(room, c.at), &v), WIRE_FAULT_SYNTAX);
    assert_int_equal(wire_serf_coordinate_get(SPAN("\1\x80"), &v), WIRE_FAULT_SYNTAX);
    assert_int_equal(wire_serf_coordinate_get(SPAN("\1\x81\xa3Vec\x91\xc0"), &v),
                     WIRE_FAULT_SYNTAX);
    assert_int_equal(wire_serf_coordinate_get(
                         SPAN("\1\x81\xa3Vec\x99\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0"), &v),
                     WIRE_FAULT_SYNTAX); /* nine */
}

static void states(void **state)
{
    (void)state;
    const struct wire_serf_known status[] = {{SPAN("n1"), 4}, {SPAN("gone"), 9}};
    const struct span left[] = {SPAN("gone")};
    const struct wire_serf_event events[] = {{7, SPAN("a"), SPAN("x"), false},
                                             {7, SPAN("b"), {NULL, 0}, false},
                                             {8, SPAN("c"), SPAN(""), false}};
    const struct wire_serf_state all = {10, 9, 3, status, 2, left, 1, events, 3};
    const struct wire_serf_state none = {.ltime = 1, .event_ltime = 1, .query_ltime = 1};
    uint8_t room[512];
    struct cursor c;
    struct wire_serf_message m;
    struct wire_serf_events e;
    struct wire_serf_event event;
    struct wire_msgpack_walk w;
    struct span name;
    uint64_t ltime;
    cursor_write(&c, room, wire_serf_state_bound(&all));
    wire_serf_state_put(&c, &all);
    assert_int_equal(c.err, ERR_OK);
    assert_int_equal(wire_serf_get(span_of(room, c.at), &m), WIRE_FAULT_NONE);
    assert_int_equal(m.type, WIRE_SERF_PUSH_PULL);
    assert_true(m.push_pull.ltime == 10 && m.push_pull.event_ltime == 9);
    assert_true(m.push_pull.query_ltime == 3);
    wire_msgpack_walk_array(&w, m.push_pull.left_members);
    assert_true(wire_msgpack_walk_raw(&w, &name) && span_equal(name, left[0]));
    assert_false(wire_msgpack_walk_raw(&w, &name));
    wire_msgpack_walk_map(&w, m.push_pull.status_ltimes);
    for (size_t i = 0; i < 2; i++) {
        assert_true(wire_msgpack_walk_number(&w, &name, &ltime));
        assert_true(span_equal(name, status[i].node) && ltime == status[i].ltime);
    }
    assert_false(wire_msgpack_walk_number(&w, &name, &ltime));
    wire_serf_events_begin(&e, &m.push_pull);
    for (size_t i = 0; i < 3; i++) {
        assert_true(wire_serf_events_next(&e, &event));
        assert_true(event.ltime == events[i].ltime && span_equal(event.name, events[i].name));
        assert_true(span_equal(event.payload, events[i].payload));
    }
    assert_false(wire_serf_events_next(&e, &event));
    for (size_t len = 1; len < c.at; len++)
        assert_int_equal(wire_serf_get(span_of(room, len), &m), WIRE_FAULT_TRUNCATED);
    cursor_write(&c, room, wire_serf_state_bound(&none));
    wire_serf_state_put(&c, &none);
    assert_int_equal(c.err, ERR_OK);
    assert_int_equal(wire_serf_get(span_of(room, c.at), &m), WIRE_FAULT_NONE);
    wire_serf_events_begin(&e, &m.push_pull);
    assert_false(wire_serf_events_next(&e, &event));
}

/* An agent's 512 slots, nearly all of them nil. */
static void sparse_slots(void **state)
{
    (void)state;
    uint8_t room[1024];
    struct cursor c;
    struct wire_serf_message m;
    struct wire_serf_events e;
    struct wire_serf_event event;
    unsigned found = 0;
    cursor_write(&c, room, sizeof(room));
    cursor_put_u8(&c, WIRE_SERF_PUSH_PULL);
    cursor_put_bytes(&c, SPAN("\x81\xa6"
                              "Events"));
    wire_msgpack_put_array(&c, 512);
    for (unsigned i = 0; i < 512; i++) {
        if (i == 5 || i == 300)
            cursor_put_bytes(&c, SPAN("\x82\xa6"
                                      "Events\x91\x82\xa4Name\xa1x\xa7Payload\xc0\xa5LTime"
                                      "\x05"));
        else
            wire_msgpack_put_nil(&c);
    }
    assert_int_equal(wire_serf_get(span_of(room, c.at), &m), WIRE_FAULT_NONE);
    wire_serf_events_begin(&e, &m.push_pull);
    while (wire_serf_events_next(&e, &event))
        found += event.ltime == 5 && span_equal(event.name, SPAN("x"));
    assert_int_equal(found, 2);
}

/* The state is written as what may come, at its largest. */
static void bound_suffices(void **state)
{
    (void)state;
    static char letters[40000];
    static struct wire_serf_event events[600];
    static uint8_t room[200000];
    struct wire_serf_known known = {span_of(letters, sizeof(letters)), UINT64_MAX};
    struct cursor c;
    for (size_t i = 0; i < ARRAY_LEN(events); i++)
        events[i] = (struct wire_serf_event){UINT64_MAX - i, span_of(letters, 40),
                                             span_of(letters, 100), false};
    struct wire_serf_state s = {UINT64_MAX,  UINT64_MAX, UINT64_MAX, &known,           1,
                                &known.node, 1,          events,     ARRAY_LEN(events)};
    assert_true(wire_serf_state_bound(&s) <= sizeof(room) + 40000);
    cursor_write(&c, room, sizeof(room));
    wire_serf_state_put(&c, &s);
    assert_int_equal(c.err, ERR_OK);
    assert_true(c.at <= wire_serf_state_bound(&s));
}

static void conflict_and_keys(void **state)
{
    (void)state;
    uint8_t room[256];
    struct cursor c;
    struct wire_serf_message m = {.type = WIRE_SERF_CONFLICT}, back;
    struct wire_msgpack_walk w;
    struct span name, value;
    m.conflict = (struct wire_serf_member){.name = SPAN("n4"),
                                           .addr = n4,
                                           .tags = SPAN("\x81\xa2"
                                                        "dc\xa2"
                                                        "eu"),
                                           .status = WIRE_SERF_STATUS_ALIVE,
                                           .protocol_min = 2,
                                           .protocol_max = 5,
                                           .protocol_current = 4};
    cursor_write(&c, room, sizeof(room));
    wire_serf_put(&c, &m);
    assert_int_equal(wire_serf_get(span_of(room, c.at), &back), WIRE_FAULT_NONE);
    assert_true(addr_equal(&back.conflict.addr, &n4) && back.conflict.protocol_max == 5);
    wire_msgpack_walk_map(&w, back.conflict.tags);
    assert_true(wire_msgpack_walk_pair(&w, &name, &value));
    assert_true(span_equal(name, SPAN("dc")) && span_equal(value, SPAN("eu")));
    m = (struct wire_serf_message){.type = WIRE_SERF_KEY_RESPONSE,
                                   .key_response = {true, SPAN("ok"),
                                                    SPAN("\x92\xa1"
                                                         "a\xa1"
                                                         "b"),
                                                    SPAN("a")}};
    cursor_write(&c, room, sizeof(room));
    wire_serf_put(&c, &m);
    assert_int_equal(wire_serf_get(span_of(room, c.at), &back), WIRE_FAULT_NONE);
    assert_true(back.key_response.result);
    assert_true(span_equal(back.key_response.primary_key, SPAN("a")));
    wire_msgpack_walk_array(&w, back.key_response.keys);
    assert_true(wire_msgpack_walk_raw(&w, &name) && wire_msgpack_walk_raw(&w, &name));
    assert_true(span_equal(name, SPAN("b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written),        cmocka_unit_test(golden),
        cmocka_unit_test(read_relay),     cmocka_unit_test(refused),
        cmocka_unit_test(captured),       cmocka_unit_test(bad_filters),
        cmocka_unit_test(tags),           cmocka_unit_test(coordinates),
        cmocka_unit_test(states),         cmocka_unit_test(sparse_slots),
        cmocka_unit_test(bound_suffices), cmocka_unit_test(conflict_and_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
