#include "cluster/swim_core.h"

#include "base/crypto.h"

#define PART_BYTES 2 /* a part's length in a compound */
#define USER_BYTES 1 /* a user message's type */
#define PMAX_CRC 5
#define PEERS_MAX 16u

static bool sealed(const struct cluster_swim *s)
{
    return s->keyring && s->keyring->count > 0;
}

void cluster_swim_spread(struct cluster_swim *s, uint64_t subject, const struct wire_message *m)
{
    uint8_t room[CLUSTER_SWIM_PACKET_MAX];
    struct cursor c;
    cursor_write(&c, room, sizeof(room));
    wire_message_put(&c, m);
    must(c.err == ERR_OK); /* names and meta are bounded */
    cluster_broadcast_put(s->broadcasts, subject, span_of(room, c.at));
}

static void add_queued(struct cluster_swim *s, struct wire_pack *pack, bool counted)
{
    struct span message[WIRE_PARTS_MAX];
    uint32_t count = cluster_broadcast_pick(
        s->broadcasts, wire_pack_left(pack) + PART_BYTES, PART_BYTES, counted,
        cluster_swim_broadcast_limit(s), message, WIRE_PARTS_MAX - pack->parts);
    for (uint32_t i = 0; i < count; i++)
        must(wire_pack_add(pack, message[i]));
}

static void add_users(struct cluster_swim *s, struct wire_pack *pack, bool counted)
{
    struct span message[WIRE_PARTS_MAX];
    if (!s->upper.broadcasts || pack->parts == WIRE_PARTS_MAX)
        return;
    uint32_t count = s->upper.broadcasts(s->upper.user, wire_pack_left(pack) + PART_BYTES,
                                         PART_BYTES + USER_BYTES, counted, message,
                                         WIRE_PARTS_MAX - pack->parts);
    for (uint32_t i = 0; i < count; i++) {
        must(wire_pack_add_message(
            pack, &(struct wire_message){.type = WIRE_USER, .user = message[i]}));
        s->counters.user_out++;
    }
}

/* What is queued, as far as it fits. Sends to those who may not hear it do not count. */
static void add_gossip(struct cluster_swim *s, struct wire_pack *pack,
                       const struct cluster_member *peer)
{
    bool counted = peer && peer != s->me && peer->state == CLUSTER_ALIVE;
    if (pack->parts < WIRE_PARTS_MAX)
        add_queued(s, pack, counted);
    add_users(s, pack, counted);
}

void cluster_swim_finish(struct cluster_swim *s, const struct wire_pack *pack, bool crc,
                         const struct addr *to)
{
    uint8_t room[WIRE_PACKET_SEND_MAX];
    uint8_t nonce[WIRE_NONCE_BYTES] = {0};
    struct cursor c;
    cursor_write(&c, room, sizeof(room));
    if (sealed(s))
        crypto_random(nonce, sizeof(nonce));
    wire_pack_finish(pack, crc, s->keyring, nonce, &c);
    if (c.err != ERR_OK ||
        !cluster_outbox_put(&s->outbox, CLUSTER_SWIM_SEND, 0, to, span_of(room, c.at))) {
        s->counters.dropped_output++;
        return;
    }
    s->counters.packets_out++;
    s->counters.bytes_out += c.at;
}

void cluster_swim_say(struct cluster_swim *s, const struct addr *to,
                      const struct cluster_member *peer, const struct wire_message *m)
{
    struct wire_pack pack;
    wire_pack_init(&pack, sealed(s));
    must(wire_pack_add_message(&pack, m)); /* names and payloads are bounded */
    /* An answer goes where its asker said, which need not be where that member is. */
    add_gossip(s, &pack, peer && addr_equal(&peer->addr, to) ? peer : NULL);
    cluster_swim_finish(s, &pack, false, to);
}

static bool hears_gossip(const struct cluster_swim *s, const struct cluster_member *m)
{
    if (m == s->me || m->state == CLUSTER_LEFT)
        return false;
    return m->state != CLUSTER_DEAD || s->now_us - m->since_us <= s->profile.dead_gossip_us;
}

/* The next of the gossip ring that may hear gossip and is not among the chosen. */
static struct cluster_member *next_peer(struct cluster_swim *s,
                                        struct cluster_member *const *chosen, uint32_t count)
{
    uint32_t turns = 2 * cluster_members_count(s->members) + 1; /* the rest, then all */
    for (uint32_t i = 0; i < turns; i++) {
        struct cluster_member *m =
            cluster_members_turn(s->members, CLUSTER_RING_GOSSIP, &s->random);
        bool fits = m && hears_gossip(s, m);
        for (uint32_t c = 0; fits && c < count; c++)
            fits = chosen[c] != m;
        if (fits)
            return m;
    }
    return NULL;
}

void cluster_swim_gossip_tick(struct cluster_swim *s)
{
    struct cluster_member *chosen[PEERS_MAX];
    if (s->now_us < s->gossip_at_us)
        return;
    s->gossip_at_us =
        cluster_swim_next_tick_us(s, s->gossip_at_us, s->profile.gossip_interval_us);
    for (uint32_t i = 0; i < s->profile.gossip_peers && i < PEERS_MAX; i++) {
        chosen[i] = next_peer(s, chosen, i);
        if (!chosen[i])
            return;
        struct wire_pack pack;
        wire_pack_init(&pack, sealed(s));
        add_gossip(s, &pack, chosen[i]);
        if (pack.parts == 0)
            return;
        cluster_swim_finish(s, &pack, chosen[i]->vsn[1] >= PMAX_CRC, &chosen[i]->addr);
    }
}

uint32_t cluster_swim_broadcast_limit(const struct cluster_swim *s)
{
    return cluster_broadcast_limit(s->profile.retransmit_mult,
                                   cluster_members_count(s->members));
}

enum err cluster_swim_send(struct cluster_swim *s, const struct addr *to, struct span bytes,
                           int64_t now_us)
{
    cluster_swim_advance(s, now_us);
    struct wire_pack pack;
    wire_pack_init(&pack, sealed(s));
    if (!wire_pack_add_message(&pack, &(struct wire_message){.type = WIRE_USER, .user = bytes}))
        return ERR_LIMIT;
    s->counters.user_out++;
    cluster_swim_finish(s, &pack, false, to);
    return ERR_OK;
}
