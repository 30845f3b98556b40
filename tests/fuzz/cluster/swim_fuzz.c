/* Anything may come in any order: packets, bytes of streams, time, wishes. What the swim says
 * must stay within its bounds and be readable. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "cluster/swim.h"
#include "cluster/wire/packet.h"
#include "cluster/wire/stream.h"

#define STREAMS 8u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct play {
    struct cluster_swim *swim;
    struct cursor in;
    int64_t now_us;
    uint32_t stream[STREAMS];
    unsigned streams;
    struct wire_scratch *scratch;
};

static struct addr addr_of(uint8_t node)
{
    return (struct addr){.family = ADDR_V4, .ip = {10, 0, 0, node}, .port = 7946};
}

static void keep_stream(struct play *p, uint32_t number)
{
    p->stream[p->streams++ % STREAMS] = number;
}

static void read_packet(struct play *p, struct span bytes)
{
    struct wire_packet packet;
    struct wire_message m;
    enum wire_fault fault;
    must(bytes.len <= CLUSTER_SWIM_PACKET_MAX + 5);
    wire_packet_begin(&packet, bytes, NULL, p->scratch);
    while (wire_packet_next(&packet, &m, &fault))
        must(fault == WIRE_FAULT_NONE);
}

static void read_stream(struct span bytes)
{
    struct wire_stream w;
    struct wire_node node;
    wire_stream_init(&w, bytes.ptr[0] == WIRE_ACK ? WIRE_DIALLER : WIRE_ACCEPTOR, NULL,
                     WIRE_STREAM_MAX);
    must(wire_stream_feed(&w, bytes) == WIRE_STREAM_MESSAGE);
    while (w.message.type == WIRE_PUSH_PULL && wire_push_pull_next(&w.push_pull, &node))
        must(node.vsn[0] > 0); /* else memberlist refuses all of it */
    wire_stream_fini(&w);
}

static void drain(struct play *p)
{
    struct cluster_swim_output o;
    while (cluster_swim_next(p->swim, &o)) {
        if (o.what == CLUSTER_SWIM_SEND)
            read_packet(p, o.bytes);
        else if (o.what != CLUSTER_SWIM_STREAM_CLOSE)
            read_stream(o.bytes);
        if (o.what == CLUSTER_SWIM_STREAM_OPEN)
            keep_stream(p, o.stream);
    }
    must(cluster_swim_deadline_us(p->swim) >= p->now_us);
    must(cluster_swim_health(p->swim) <= CLUSTER_SWIM_HEALTH_MAX);
    must(cluster_swim_me(p->swim)->state == CLUSTER_ALIVE ||
         cluster_swim_me(p->swim)->state == CLUSTER_LEFT);
}

static void send_raw(struct play *p)
{
    size_t len = cursor_get_u8(&p->in);
    struct addr from = addr_of(7);
    len = len < cursor_left(&p->in) ? len : cursor_left(&p->in);
    cluster_swim_packet(p->swim, &from, cursor_get_bytes(&p->in, len), p->now_us);
}

static void feed_stream(struct play *p)
{
    uint32_t number = p->stream[cursor_get_u8(&p->in) % STREAMS];
    size_t len = cursor_get_u8(&p->in);
    len = len < cursor_left(&p->in) ? len : cursor_left(&p->in);
    cluster_swim_stream_bytes(p->swim, number, cursor_get_bytes(&p->in, len), p->now_us);
}

/* Well formed, so that the fuzzer need not find msgpack to reach the rules. */
static void send_message(struct play *p)
{
    static const char names[] = "abcdefgh";
    uint8_t bytes[WIRE_PACKET_BUDGET];
    uint8_t about = cursor_get_u8(&p->in), by = cursor_get_u8(&p->in);
    struct span node = span_of(&names[about % 8], 1), from = span_of(&names[by % 8], 1);
    uint32_t number = cursor_get_u8(&p->in);
    struct wire_message m = {.type = WIRE_NACK, .nack = {.seq_no = number}};
    struct addr addr = addr_of(by);
    struct cursor c;
    switch (cursor_get_u8(&p->in) % 6) {
    case 0:
        m = (struct wire_message){.type = WIRE_SUSPECT, .suspect = {number, node, from}};
        break;
    case 1:
        m = (struct wire_message){.type = WIRE_DEAD, .dead = {number, node, from}};
        break;
    case 2:
        m = (struct wire_message){.type = WIRE_ALIVE,
                                  .alive = {number,
                                            node,
                                            addr_of(about % 9),
                                            from,
                                            {1, (uint8_t)(2 + by % 4), 2, 2, 5, 5}}};
        break;
    case 3:
        m = (struct wire_message){.type = WIRE_PING, .ping = {number, node, addr, from}};
        break;
    case 4:
        m = (struct wire_message){.type = WIRE_INDIRECT_PING,
                                  .indirect_ping = {number, node, addr, true, addr, from}};
        break;
    }
    cursor_write(&c, bytes, sizeof(bytes));
    wire_message_put(&c, &m);
    cluster_swim_packet(p->swim, &addr, span_of(bytes, c.at), p->now_us);
}

static void pass_time(struct play *p)
{
    p->now_us += (int64_t)cursor_get_u16(&p->in) * 1000;
    cluster_swim_tick(p->swim, p->now_us);
}

static void wish(struct play *p)
{
    uint8_t what = cursor_get_u8(&p->in);
    struct addr to = addr_of(what);
    if (what == 255)
        cluster_swim_leave(p->swim, p->now_us);
    else if (what % 3 == 0)
        cluster_swim_join(p->swim, &to, p->now_us);
    else if (what % 3 == 1)
        cluster_swim_set_meta(p->swim, SPAN("meta"), p->now_us);
    else
        must(cluster_swim_send(p->swim, &to, SPAN("user"), p->now_us) == ERR_OK);
}

static void step(struct play *p)
{
    uint32_t stream;
    switch (cursor_get_u8(&p->in) % 7) {
    case 0:
        send_raw(p);
        break;
    case 1:
    case 2:
        send_message(p);
        break;
    case 3:
        pass_time(p);
        break;
    case 4:
        if ((stream = cluster_swim_stream_accept(p->swim, p->now_us)) != 0)
            keep_stream(p, stream);
        break;
    case 5:
        feed_stream(p);
        break;
    case 6:
        if (cursor_get_u8(&p->in) & 1)
            cluster_swim_stream_closed(p->swim, p->stream[p->streams % STREAMS], p->now_us);
        else
            wish(p);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cluster_swim_conf conf = {
        .name = SPAN("a"),
        .addr = addr_of(0),
        .vsn = {1, 5, 2, 2, 5, 5},
        .profile = cluster_swim_local,
        .seed = 1,
        .members_max = 16,
        .lifeguard = true,
    };
    struct cluster_swim_upper upper = {0};
    struct play p = {.swim = cluster_swim_create(&conf, &upper, 0)};
    p.scratch = must_alloc(sizeof(*p.scratch));
    cursor_read(&p.in, span_of(data, size));
    while (p.in.err == ERR_OK && cursor_left(&p.in) > 0) {
        step(&p);
        drain(&p);
    }
    cluster_swim_destroy(p.swim);
    free(p.scratch);
    return 0;
}
