#include "tests/sim/scene.h"

#include <stdio.h>
#include <stdlib.h>

#define HEADERS 28u /* IPv4 and UDP */
#define EVENTS 200u
#define EVENT_APART_MS 2000 /* at most */
#define HEARD_MS 5000       /* what was not heard by then, gossip missed: push/pulls repair */
#define REPAIR_MAX_S 900
#define P99_MAX_MS 600
#define CALIBRATE_NODES 3u
#define CALIBRATE_IDLE_S 600
#define IDLE_MAX_B 320 /* a second, with headers, sealed or not; a real agent: 307 to 314 */

#define BY_PULL (INT64_MAX - 1)
#define NOT_YET INT64_MAX

/* How long events took to each node, in us. */
struct spread {
    int64_t sent_us[EVENTS];
    int64_t *took_us; /* EVENTS * nodes; 0 where it came from */
    uint32_t missing;
};

static void hear(struct scene *s, uint32_t at, const struct cluster_event *event)
{
    struct spread *x = s->user;
    uint64_t i;
    must(span_to_u64(event->payload, &i) && i < EVENTS);
    int64_t *took_us = &x->took_us[i * s->nodes + at];
    must(*took_us == NOT_YET); /* once */
    *took_us = world_now_us(s->world) - x->sent_us[i];
    if (event->replayed && *took_us > HEARD_MS * MS)
        *took_us = BY_PULL;
    x->missing--;
}

static void fire(struct scene *s, struct spread *x, uint32_t i, uint32_t from, struct span name)
{
    char text[16];
    int len = snprintf(text, sizeof(text), "%u", i);
    x->sent_us[i] = world_now_us(s->world);
    x->took_us[i * s->nodes + from] = 0;
    must(world_fire(s->world, from, name, span_of(text, (size_t)len)) == ERR_OK);
}

static int in_order(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

struct figures {
    double p50_ms, p95_ms, p99_ms;
    double last_p50_ms, last_p95_ms, last_ms; /* of each event, the last that gossip reached */
    uint32_t missed_runs;                     /* events that gossip did not bring to all */
};

static double part_ms(const int64_t *sorted, uint64_t count, double part)
{
    return (double)sorted[(uint64_t)((double)(count - 1) * part)] / (double)MS;
}

static struct figures figures_of(const struct scene *s, const struct spread *x)
{
    struct figures f = {0};
    uint64_t count = 0;
    int64_t *took = must_alloc((size_t)EVENTS * s->nodes * sizeof(*took));
    int64_t last[EVENTS];
    for (uint32_t i = 0; i < EVENTS; i++) {
        int64_t last_us = 0;
        bool missed = false;
        for (uint32_t n = 0; n < s->nodes; n++) {
            int64_t t_us = x->took_us[i * s->nodes + n];
            bool gossiped = t_us < BY_PULL;
            missed |= !gossiped;
            last_us = gossiped && t_us > last_us ? t_us : last_us;
            if (t_us > 0)
                took[count++] = t_us;
        }
        last[i] = last_us;
        f.missed_runs += missed;
    }
    qsort(took, count, sizeof(*took), in_order);
    f.p50_ms = part_ms(took, count, 0.50);
    f.p95_ms = part_ms(took, count, 0.95);
    f.p99_ms = part_ms(took, count, 0.99);
    free(took);
    qsort(last, EVENTS, sizeof(*last), in_order);
    f.last_p50_ms = part_ms(last, EVENTS, 0.50);
    f.last_p95_ms = part_ms(last, EVENTS, 0.95);
    f.last_ms = part_ms(last, EVENTS, 1);
    return f;
}

/* Fires all, from anybody at any time, and waits until gossip is done with the last. */
static struct figures spread_all(struct scene *s, struct spread *x, uint64_t seed,
                                 struct span name)
{
    struct cluster_random dice;
    cluster_random_seed(&dice, seed);
    for (uint32_t i = 0; i < EVENTS * s->nodes; i++)
        x->took_us[i] = NOT_YET;
    x->missing = EVENTS * (s->nodes - 1);
    s->user = x;
    s->event = hear;
    for (uint32_t i = 0; i < EVENTS; i++) {
        world_run(s->world, cluster_random_below(&dice, EVENT_APART_MS * 1000));
        fire(s, x, i, cluster_random_below(&dice, s->nodes), name);
    }
    world_run(s->world, HEARD_MS * MS);
    return figures_of(s, x);
}

static void tell_figures(const char *what, const struct figures *f)
{
    printf(" %s: p50_ms=%.1f p95_ms=%.1f p99_ms=%.1f last_p50_ms=%.1f last_p95_ms=%.1f "
           "last_ms=%.1f missed_runs=%u",
           what, f->p50_ms, f->p95_ms, f->p99_ms, f->last_p50_ms, f->last_p95_ms, f->last_ms,
           f->missed_runs);
}

/* Seconds until push/pulls brought what gossip did not. */
static int64_t repair(struct scene *s, const struct spread *x)
{
    for (int64_t seconds = 0; seconds <= REPAIR_MAX_S; seconds++) {
        if (x->missing == 0)
            return seconds;
        world_run(s->world, SECOND);
    }
    return -1;
}

bool scene_event(uint32_t nodes, uint32_t percent, uint64_t seed)
{
    struct world_conf conf = scene_conf(nodes, percent, seed);
    struct scene s;
    scene_delay(&conf, 20 * MS, 150 * MS); /* those of gossip's model */
    struct spread x = {.took_us = must_alloc((size_t)EVENTS * nodes * sizeof(int64_t))};
    bool good = scene_open(&s, &conf);
    world_run(s.world, 60 * SECOND);
    struct figures f = spread_all(&s, &x, seed, SPAN("perigee"));
    int64_t repaired_s = repair(&s, &x);
    good &= scene_expect(percent > 5 || f.p99_ms <= P99_MAX_MS, "p99 <= 0.6 s");
    good &= scene_expect(repaired_s >= 0, "push/pulls bring what gossip did not");
    printf("event nodes=%u percent=%u seed=%llu events=%u", nodes, percent,
           (unsigned long long)seed, EVENTS);
    tell_figures("eager", &f);
    printf(" repaired_s=%lld pushed_per_node=%.2f hash=%016llx\n", (long long)repaired_s,
           (double)world_counters(s.world).serf.events_pushed / (double)nodes / EVENTS,
           (unsigned long long)world_hash(s.world));
    scene_counters(&s);
    scene_close(&s);
    free(x.took_us);
    return good;
}

/* Bytes per node and second over a time; are they few? */
static bool tell_idle(struct scene *s, int64_t seconds)
{
    struct cluster_swim_counters a = world_counters(s->world).swim;
    world_run(s->world, seconds * SECOND);
    struct cluster_swim_counters b = world_counters(s->world).swim;
    double per = (double)s->nodes * (double)seconds;
    uint64_t packets = b.packets_out - a.packets_out, bytes = b.bytes_out - a.bytes_out;
    double with_headers = (double)(bytes + packets * HEADERS) / per;
    printf(" packets_per_s=%.2f payload_per_s=%.1f with_headers_per_s=%.1f stream_per_s=%.1f",
           (double)packets / per, (double)bytes / per, with_headers,
           (double)(b.stream_bytes_out - a.stream_bytes_out) / per);
    return scene_expect(with_headers <= IDLE_MAX_B, "idle nodes send little");
}

bool scene_idle(uint32_t nodes, int64_t seconds, uint64_t seed, bool sealed)
{
    struct world_conf conf = scene_conf(nodes, 0, seed);
    struct scene s;
    conf.sealed = sealed;
    conf.net.double_ppm = 0;
    bool good = scene_open(&s, &conf);
    world_run(s.world, 60 * SECOND);
    printf("idle nodes=%u seconds=%lld seed=%llu sealed=%d", nodes, (long long)seconds,
           (unsigned long long)seed, sealed);
    good &= tell_idle(&s, seconds);
    printf(" hash=%016llx\n", (unsigned long long)world_hash(s.world));
    scene_close(&s);
    return good;
}

/* As tests/system/measure_cluster.py calibrate does with real nodes. */
bool scene_calibrate(int64_t delay_min_us, int64_t delay_max_us, uint64_t seed, bool sealed)
{
    struct world_conf conf = scene_conf(CALIBRATE_NODES, 0, seed);
    struct scene s;
    conf.sealed = sealed;
    conf.net.double_ppm = 0;
    scene_delay(&conf, delay_min_us, delay_max_us);
    struct spread x = {.took_us = must_alloc(EVENTS * CALIBRATE_NODES * sizeof(int64_t))};
    bool good = scene_open(&s, &conf);
    world_run(s.world, 60 * SECOND);
    printf("calibrate nodes=%u delay_us=%lld-%lld seed=%llu sealed=%d", CALIBRATE_NODES,
           (long long)delay_min_us, (long long)delay_max_us, (unsigned long long)seed, sealed);
    good &= tell_idle(&s, CALIBRATE_IDLE_S);
    struct figures eager = spread_all(&s, &x, seed, SPAN("perigee"));
    tell_figures("eager", &eager);
    struct figures plain = spread_all(&s, &x, seed + 1, SPAN("deploy"));
    tell_figures("plain", &plain);
    printf(" hash=%016llx\n", (unsigned long long)world_hash(s.world));
    scene_close(&s);
    free(x.took_us);
    return good & scene_expect(eager.missed_runs + plain.missed_runs == 0, "all hear all");
}
