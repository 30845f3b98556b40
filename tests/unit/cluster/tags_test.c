#include "cluster/tags.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "cluster/wire/serf.h"
#include "tests/unit/cluster/wire/golden.h"

static struct addr ip(const char *text)
{
    struct addr a;
    assert_int_equal(addr_parse(span_text(text), &a), ERR_OK);
    return a;
}

/* "id=fra1 region=eu ..." of what is encoded. */
static const char *listed(struct span meta)
{
    static char text[1024];
    struct wire_serf_tags walk;
    struct wire_serf_tag tag;
    size_t used = 0;
    text[0] = 0;
    wire_serf_tags_begin(&walk, meta);
    while (wire_serf_tags_next(&walk, &tag))
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%.*s=%.*s ",
                                 SPAN_ARG(tag.name), SPAN_ARG(tag.value));
    assert_int_equal(walk.walk.in.err, ERR_OK);
    return text;
}

static struct cluster_tags full(void)
{
    struct cluster_tags t = {
        .id = SPAN("fra1"),
        .region = SPAN("eu"),
        .version = SPAN("1.4.2"),
        .has_place = true,
        .latitude = 50.11,
        .longitude = 8.68,
        .addresses = {ip("203.0.113.10"), ip("2001:db8::10")},
        .address_count = 2,
        .peer = ip("203.0.113.10"),
        .capacity = 2.5,
        .drain = true,
    };
    t.peer.port = 7947;
    return t;
}

static void all_of_it_and_back(void **state)
{
    (void)state;
    char room[CLUSTER_TAGS_BYTES_MAX];
    struct cluster_tags t = full(), back;
    struct span meta = cluster_tags_put(&t, room);
    assert_string_equal(listed(meta),
                        "id=fra1 region=eu place=50.1100,8.6800 addr=203.0.113.10,2001:db8::10 "
                        "peer=203.0.113.10:7947 cap=2.5 ver=1.4.2 drain=1 ");
    cluster_tags_get(meta, &back);
    assert_true(span_equal(back.id, t.id) && span_equal(back.region, t.region) &&
                span_equal(back.version, t.version));
    assert_true(back.has_place && back.drain);
    assert_true(back.latitude > 50.10 && back.latitude < 50.12 && back.longitude > 8.67 &&
                back.longitude < 8.69);
    assert_int_equal(back.address_count, 2);
    assert_true(addr_equal(&back.addresses[0], &t.addresses[0]) &&
                addr_equal(&back.addresses[1], &t.addresses[1]) &&
                addr_equal(&back.peer, &t.peer));
    assert_true(back.capacity > 2.49 && back.capacity < 2.51);
}

static void nothing_is_told_of_nothing(void **state)
{
    (void)state;
    char room[CLUSTER_TAGS_BYTES_MAX];
    struct cluster_tags t = {.id = SPAN("a"), .capacity = 1}, back;
    assert_string_equal(listed(cluster_tags_put(&t, room)), "id=a ");
    t.capacity = 0; /* not set */
    assert_string_equal(listed(cluster_tags_put(&t, room)), "id=a ");
    t.capacity = -1;
    t.has_place = true;
    t.latitude = 91; /* nowhere */
    assert_string_equal(listed(cluster_tags_put(&t, room)), "id=a ");
    cluster_tags_get(cluster_tags_put(&t, room), &back);
    assert_true(back.capacity > 0.99 && back.capacity < 1.01 && !back.has_place &&
                !back.drain && back.address_count == 0 && back.peer.family == ADDR_NONE);
}

/* As it gets longer, the least needed goes, in the order that the header states. */
static void room_for_what_counts(void **state)
{
    (void)state;
    char room[CLUSTER_TAGS_BYTES_MAX], id[300], region[300];
    struct cluster_tags t = full();
    memset(id, 'i', sizeof(id));
    memset(region, 'r', sizeof(region));
    t.id = span_of(id, sizeof(id)); /* cut to its limit */
    t.version = SPAN("a-version-of-some-length-that-is-cut-somewhere");
    t.address_count = CLUSTER_TAGS_ADDRESSES;
    for (unsigned i = 0; i < CLUSTER_TAGS_ADDRESSES; i++)
        t.addresses[i] = ip("2001:db8:1111:2222:3333:4444:5555:6666");
    struct cluster_tags back;
    struct span meta = cluster_tags_put(&t, room);
    assert_true(meta.len <= CLUSTER_TAGS_BYTES_MAX);
    cluster_tags_get(meta, &back);
    assert_int_equal(back.id.len, CLUSTER_TAGS_ID_MAX);
    assert_int_equal(back.version.len, 0);
    assert_int_equal(back.address_count, 7); /* one address less than all was enough */
    t.region = span_of(region, sizeof(region));
    t.peer = ip("2001:db8:1111:2222:3333:4444:5555:6666");
    t.peer.port = 65535;
    meta = cluster_tags_put(&t, room);
    cluster_tags_get(meta, &back);
    assert_int_equal(back.region.len, CLUSTER_TAGS_REGION_MAX);
    assert_int_equal(back.address_count, 5);
    assert_true(back.has_place && back.drain && addr_equal(&back.peer, &t.peer));
    assert_true(CLUSTER_TAGS_BYTES_MAX - meta.len < 40);
}

static void a_stock_agent_has_none(void **state)
{
    (void)state;
    struct span alive = golden_bytes(GOLDEN_ALIVE);
    struct wire_message m;
    struct cluster_tags t;
    struct span value;
    assert_int_equal(wire_message_get(alive, &m), WIRE_FAULT_NONE);
    cluster_tags_get(m.alive.meta, &t);
    assert_true(t.id.len == 0 && t.region.len == 0 && t.address_count == 0 && !t.drain);
    assert_true(cluster_tags_find(m.alive.meta, SPAN("role"), &value));
    assert_true(span_equal(value, SPAN("edge")));
    assert_true(cluster_tags_find(m.alive.meta, SPAN("dc"), &value));
    assert_false(cluster_tags_find(m.alive.meta, SPAN("id"), &value));
    golden_free(alive);
    cluster_tags_get(SPAN("legacy"), &t);
    assert_int_equal(t.id.len, 0);
    assert_true(cluster_tags_find(SPAN("legacy"), SPAN("role"), &value));
    assert_true(span_equal(value, SPAN("legacy")));
    cluster_tags_get(span_of(NULL, 0), &t);
    assert_int_equal(t.id.len, 0);
}

static void reading_is_tolerant(void **state)
{
    (void)state;
    static const struct {
        const char *why, *name, *value, *then; /* the tags that are read, put again */
    } rows[] = {
        {"a place", "place", "-33.9,151.2", "place=-33.9000,151.2000 "},
        {"a place alone", "place", "50", ""},
        {"nowhere", "place", "90.1,0", ""},
        {"no number", "place", "50.1,x", ""},
        {"infinity", "place", "inf,0", ""},
        {"not a number", "place", "nan,nan", ""},
        {"hexadecimal", "place", "0x10,0x10", ""},
        {"blanks", "place", " 1,1", ""},
        {"too many", "place", "1,2,3", ""},
        {"an endless number", "place",
         "1.000000000000000000000000000000000000000000000000000,1", ""},
        {"addresses, one is none", "addr", "10.0.0.1,x,10.0.0.2,", "addr=10.0.0.1,10.0.0.2 "},
        {"eight of nine", "addr",
         "1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4,1.1.1.5,1.1.1.6,1.1.1.7,1.1.1.8,1.1.1.9",
         "addr=1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4,1.1.1.5,1.1.1.6,1.1.1.7,1.1.1.8 "},
        {"a peer without a port", "peer", "10.0.0.1", ""},
        {"a peer", "peer", "[2001:db8::1]:1", "peer=[2001:db8::1]:1 "},
        {"capacity", "cap", "0.5", "cap=0.5 "},
        {"capacity zero", "cap", "0", ""},
        {"less than nothing", "cap", "-1", ""},
        {"too much", "cap", "1e7", ""},
        {"beyond numbers", "cap", "1e999", ""},
        {"drain", "drain", "1", "drain=1 "},
        {"another word", "drain", "true", ""},
        {"not ours", "colour", "blue", ""},
        {"an empty id", "id", "", ""},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        char room[CLUSTER_TAGS_BYTES_MAX], again[CLUSTER_TAGS_BYTES_MAX];
        struct wire_serf_tag tag = {span_text(rows[i].name), span_text(rows[i].value)};
        struct cluster_tags t;
        struct cursor c;
        cursor_write(&c, room, sizeof(room));
        wire_serf_tags_put(&c, &tag, 1);
        cluster_tags_get(span_of(room, c.at), &t);
        const char *then = listed(cluster_tags_put(&t, again));
        if (strcmp(then, rows[i].then) != 0)
            fail_msg("%s: %s", rows[i].why, then);
    }
}

/* Cut or changed anywhere, it is read without harm, and what is put again fits. */
static void bytes_of_any_kind(void **state)
{
    (void)state;
    char room[CLUSTER_TAGS_BYTES_MAX], again[CLUSTER_TAGS_BYTES_MAX];
    struct cluster_tags t = full(), back;
    struct span meta = cluster_tags_put(&t, room);
    for (size_t cut = 0; cut <= meta.len; cut++) {
        char *bytes = malloc(cut ? cut : 1);
        memcpy(bytes, meta.ptr, cut);
        for (int with = 0; with < 4; with++) {
            if (cut > 0)
                bytes[cut - 1] = (char)(bytes[cut - 1] ^ with * 0x55);
            cluster_tags_get(span_of(bytes, cut), &back);
            assert_true(cluster_tags_put(&back, again).len <= CLUSTER_TAGS_BYTES_MAX);
        }
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_it_and_back),   cmocka_unit_test(nothing_is_told_of_nothing),
        cmocka_unit_test(room_for_what_counts), cmocka_unit_test(a_stock_agent_has_none),
        cmocka_unit_test(reading_is_tolerant),  cmocka_unit_test(bytes_of_any_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
