/* What strangers say to a node: steps of a byte, a length and bytes. The byte says what they
 * are: a user message, the Serf state of a push/pull, a packet, tags, a health text, or time.
 */
#include "cluster/cluster.h"
#include "cluster/wire/stream.h"

#define SECOND INT64_C(1000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum step { SAY, STATE, PACKET, TAGS, HEALTH, WAIT, STEPS };

struct fuzz {
    struct cluster *cluster;
    int64_t now_us;
};

static const struct addr me = {.family = ADDR_V4, .ip = {127, 0, 0, 1}, .port = 7946};
static const struct addr other = {.family = ADDR_V4, .ip = {127, 0, 0, 4}, .port = 7946};

static void hear_question(void *user, const struct cluster_question *q)
{
    struct fuzz *f = user;
    (void)!cluster_answer(f->cluster, q->number, q->name, f->now_us);
}

static void drain(struct fuzz *f)
{
    struct cluster_swim_output o;
    while (cluster_next(f->cluster, &o))
        ;
}

static void say(struct fuzz *f, uint8_t type, struct span bytes)
{
    char packet[512];
    packet[0] = (char)type;
    memcpy(packet + 1, bytes.ptr, bytes.len);
    cluster_packet(f->cluster, &other, span_of(packet, bytes.len + 1), f->now_us);
}

static void pull(struct fuzz *f, struct span state)
{
    struct buf out;
    uint32_t stream = cluster_stream_accept(f->cluster, f->now_us);
    buf_init(&out, 1 << 16);
    must(wire_push_pull_put(&out, true, 0, state.len) == ERR_OK);
    must(buf_append(&out, state) == ERR_OK);
    cluster_stream_bytes(f->cluster, stream, buf_span(&out), f->now_us);
    cluster_stream_closed(f->cluster, stream, f->now_us);
    buf_fini(&out);
}

static void read_texts(struct span bytes)
{
    char room[CLUSTER_TAGS_BYTES_MAX], text[CLUSTER_HEALTH_TEXT_MAX];
    struct cluster_tags tags;
    struct cluster_health health;
    struct span name;
    cluster_tags_get(bytes, &tags);
    must(cluster_tags_put(&tags, room).len <= sizeof(room));
    if (cluster_health_get(bytes, text, &name, &health) == ERR_OK)
        must(health.load <= 100 && health.shed <= 100 && name.len > 0);
}

static void do_step(struct fuzz *f, enum step step, struct span bytes)
{
    switch (step) {
    case SAY:
        say(f, WIRE_USER, bytes);
        break;
    case STATE:
        pull(f, bytes);
        break;
    case PACKET:
        cluster_packet(f->cluster, &other, bytes, f->now_us);
        break;
    case TAGS:
    case HEALTH:
        read_texts(bytes);
        break;
    case WAIT:
        f->now_us += (int64_t)bytes.len * SECOND / 10;
        break;
    case STEPS:
        break;
    }
    cluster_tick(f->cluster, f->now_us);
    drain(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz f = {.now_us = SECOND};
    const struct cluster_news news = {.user = &f, .query = hear_question};
    const struct cluster_conf conf = {.name = SPAN("n4"),
                                      .addr = me,
                                      .tags = {.region = SPAN("eu")},
                                      .profile = cluster_swim_lan,
                                      .seed = 1,
                                      .members_max = 64,
                                      .lifeguard = true};
    struct cluster_counters c;
    f.cluster = cluster_create(&conf, &news, f.now_us);
    must(f.cluster);
    for (size_t at = 0; size - at >= 2;) {
        uint8_t step = data[at] % STEPS;
        size_t len = data[at + 1];
        at += 2;
        if (len > size - at)
            len = size - at;
        do_step(&f, step, span_of(data + at, len));
        at += len;
    }
    cluster_counters(f.cluster, &c);
    must(c.serf_gauges.ltime <= CLUSTER_LTIME_CEILING &&
         c.serf_gauges.event_ltime <= CLUSTER_LTIME_CEILING &&
         c.serf_gauges.query_ltime <= CLUSTER_LTIME_CEILING);
    must(c.nodes[CLUSTER_STATUS_ALIVE] >= 1);
    must(c.swim.dropped_output == 0);
    cluster_destroy(f.cluster);
    return 0;
}
