#include "cluster/tags.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cluster/wire/serf.h"

#define CAPACITY_MAX 1e6
#define TAGS_MAX 8
#define NUMBER_MAX 32

_Static_assert(CLUSTER_TAGS_BYTES_MAX == WIRE_META_MAX, "tags live in a node's meta");

/* What is told, and the room for values that are made. */
struct telling {
    const struct cluster_tags *tags;
    bool version, capacity, place, region; /* told? */
    uint32_t addresses;
    char place_text[2 * NUMBER_MAX], capacity_text[NUMBER_MAX], peer_text[ADDR_TEXT_MAX];
    char addresses_text[CLUSTER_TAGS_ADDRESSES * ADDR_TEXT_MAX];
};

static struct span cut(struct span s, size_t max)
{
    return s.len > max ? span_until(s, max) : s;
}

static struct span join_addresses(struct telling *t)
{
    size_t used = 0;
    for (uint32_t i = 0; i < t->addresses; i++) {
        if (i > 0)
            t->addresses_text[used++] = ',';
        addr_print(&t->tags->addresses[i], false, t->addresses_text + used);
        used += strlen(t->addresses_text + used);
    }
    return span_of(t->addresses_text, used);
}

static size_t list(struct telling *t, struct wire_serf_tag *out)
{
    const struct cluster_tags *tags = t->tags;
    size_t count = 0;
    if (tags->id.len > 0)
        out[count++] = (struct wire_serf_tag){SPAN("id"), cut(tags->id, CLUSTER_TAGS_ID_MAX)};
    if (t->region)
        out[count++] =
            (struct wire_serf_tag){SPAN("region"), cut(tags->region, CLUSTER_TAGS_REGION_MAX)};
    if (t->place)
        out[count++] = (struct wire_serf_tag){SPAN("place"), span_text(t->place_text)};
    if (t->addresses > 0)
        out[count++] = (struct wire_serf_tag){SPAN("addr"), join_addresses(t)};
    if (tags->peer.family != ADDR_NONE)
        out[count++] = (struct wire_serf_tag){SPAN("peer"), span_text(t->peer_text)};
    if (t->capacity)
        out[count++] = (struct wire_serf_tag){SPAN("cap"), span_text(t->capacity_text)};
    if (t->version)
        out[count++] =
            (struct wire_serf_tag){SPAN("ver"), cut(tags->version, CLUSTER_TAGS_VERSION_MAX)};
    if (tags->drain)
        out[count++] = (struct wire_serf_tag){SPAN("drain"), SPAN("1")};
    return count;
}

/* Leaves the least needed away; false: nothing is left that could be. */
static bool shorten(struct telling *t)
{
    if (t->version)
        t->version = false;
    else if (t->addresses > 1)
        t->addresses--;
    else if (t->capacity)
        t->capacity = false;
    else if (t->place)
        t->place = false;
    else if (t->region)
        t->region = false;
    else
        return false;
    return true;
}

static bool capacity_good(double v)
{
    return v > 0 && v <= CAPACITY_MAX;
}

static bool place_good(double latitude, double longitude)
{
    return fabs(latitude) <= 90 && fabs(longitude) <= 180; /* NaN is not */
}

static void begin(struct telling *t, const struct cluster_tags *tags)
{
    *t = (struct telling){
        .tags = tags,
        .version = tags->version.len > 0,
        .region = tags->region.len > 0,
        .place = tags->has_place && place_good(tags->latitude, tags->longitude),
        .capacity = capacity_good(tags->capacity) && fabs(tags->capacity - 1) > 1e-9,
        .addresses = tags->address_count < CLUSTER_TAGS_ADDRESSES ? tags->address_count
                                                                  : CLUSTER_TAGS_ADDRESSES,
    };
    snprintf(t->place_text, sizeof(t->place_text), "%.4f,%.4f", tags->latitude,
             tags->longitude);
    snprintf(t->capacity_text, sizeof(t->capacity_text), "%.6g", tags->capacity);
    addr_print(&tags->peer, true, t->peer_text);
}

struct span cluster_tags_put(const struct cluster_tags *tags, char room[CLUSTER_TAGS_BYTES_MAX])
{
    struct wire_serf_tag out[TAGS_MAX];
    struct telling t;
    struct cursor c;
    begin(&t, tags);
    do {
        cursor_write(&c, room, CLUSTER_TAGS_BYTES_MAX);
        wire_serf_tags_put(&c, out, list(&t, out));
    } while (c.err != ERR_OK && shorten(&t));
    must(c.err == ERR_OK); /* id, peer, drain and one address fit by their limits */
    return span_of(room, c.at);
}

/* --- reading --- */

static bool get_number(struct span text, double *out)
{
    char room[NUMBER_MAX];
    char *end;
    if (text.len == 0 || span_copy(text, room, sizeof(room)) != ERR_OK)
        return false;
    if (strspn(room, "+-.0123456789eE") != text.len) /* no inf, nan, hex, blanks */
        return false;
    double v = strtod(room, &end);
    if (*end != '\0' || !isfinite(v))
        return false;
    *out = v;
    return true;
}

static void get_place(struct span value, struct cluster_tags *out)
{
    struct span latitude;
    double lat, lon;
    if (!span_split(&value, ',', &latitude) || !get_number(latitude, &lat) ||
        !get_number(value, &lon) || !place_good(lat, lon))
        return;
    out->has_place = true;
    out->latitude = lat;
    out->longitude = lon;
}

static void get_addresses(struct span value, struct cluster_tags *out)
{
    struct span part;
    out->address_count = 0;
    while (span_split(&value, ',', &part) && out->address_count < CLUSTER_TAGS_ADDRESSES) {
        struct addr *a = &out->addresses[out->address_count];
        if (addr_parse(part, a) == ERR_OK)
            out->address_count++;
    }
}

static void get_tag(const struct wire_serf_tag *tag, struct cluster_tags *out)
{
    double number;
    if (span_equal(tag->name, SPAN("id")))
        out->id = cut(tag->value, CLUSTER_TAGS_ID_MAX);
    else if (span_equal(tag->name, SPAN("region")))
        out->region = cut(tag->value, CLUSTER_TAGS_REGION_MAX);
    else if (span_equal(tag->name, SPAN("ver")))
        out->version = cut(tag->value, CLUSTER_TAGS_VERSION_MAX);
    else if (span_equal(tag->name, SPAN("place")))
        get_place(tag->value, out);
    else if (span_equal(tag->name, SPAN("addr")))
        get_addresses(tag->value, out);
    else if (span_equal(tag->name, SPAN("peer"))) {
        if (addr_parse_with_port(tag->value, &out->peer) != ERR_OK)
            out->peer = (struct addr){.family = ADDR_NONE};
    } else if (span_equal(tag->name, SPAN("cap"))) {
        if (get_number(tag->value, &number) && capacity_good(number))
            out->capacity = number;
    } else if (span_equal(tag->name, SPAN("drain")))
        out->drain = span_equal(tag->value, SPAN("1"));
}

void cluster_tags_get(struct span meta, struct cluster_tags *out)
{
    struct wire_serf_tags walk;
    struct wire_serf_tag tag;
    *out = (struct cluster_tags){.capacity = 1};
    wire_serf_tags_begin(&walk, meta);
    while (wire_serf_tags_next(&walk, &tag))
        get_tag(&tag, out);
}

bool cluster_tags_find(struct span meta, struct span name, struct span *out_value)
{
    struct wire_serf_tags walk;
    struct wire_serf_tag tag;
    wire_serf_tags_begin(&walk, meta);
    while (wire_serf_tags_next(&walk, &tag)) {
        if (span_equal(tag.name, name)) {
            *out_value = tag.value;
            return true;
        }
    }
    return false;
}
