/* tests/unit/admin/node.h - a node that only remembers what admin asked of it.
 *
 * Purges wait until the test says how they ended, unless `at_once` is set.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "admin/actions.h"
#include "admin/admin.h"

struct node {
    bool at_once, ready, alone;
    enum err at_once_err, reload_err;
    unsigned purges, counts, reloads;
    struct purge last;
    char last_selector[256], last_site[64], forgotten[64];
    uint32_t last_count;
    admin_purge_answered *answered;
    struct admin *admin;
    uint64_t ticket, seq, left;
    const enum admin_purge_confirmed *confirmed; /* of n1, n2, n3; NULL: n1 alone has it */
    admin_purge_counted *counted;
    bool counts_slowly; /* the test says when it is over */
};

static void node_purge(void *user, const struct purge *purges, uint32_t count,
                       admin_purge_answered *answered, struct admin *a, uint64_t ticket)
{
    struct node *n = user;
    n->purges++;
    n->last = purges[0];
    snprintf(n->last_selector, sizeof n->last_selector, "%.*s", SPAN_ARG(purges[0].selector));
    snprintf(n->last_site, sizeof n->last_site, "%.*s", SPAN_ARG(purges[0].site));
    n->last_count = count;
    n->answered = answered;
    n->admin = a;
    n->ticket = ticket;
    n->seq += count;
    struct admin_purge_done done = {n->at_once_err, ADMIN_PURGE_EVERYWHERE, 0xabc, n->seq};
    if (n->at_once)
        answered(a, ticket, &done);
}

static void node_purge_leave(void *user, uint64_t ticket)
{
    ((struct node *)user)->left = ticket;
}

static enum err node_purge_confirmations(void *user, uint64_t stream, uint64_t seq,
                                         void (*tell)(void *user, struct span id,
                                                      enum admin_purge_confirmed state),
                                         void *tell_user)
{
    static const char *ids[] = {"n1", "n2", "n3"};
    const struct node *n = user;
    (void)seq;
    if (stream != 0xabc || !n->confirmed)
        return ERR_NOT_FOUND;
    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        tell(tell_user, span_text(ids[i]), n->confirmed[i]);
    return ERR_OK;
}

static void node_purge_count(void *user, const struct purge *purges, uint32_t count,
                             admin_purge_counted *counted, struct admin *a, uint64_t ticket)
{
    struct node *n = user;
    (void)purges;
    (void)count;
    n->counts++;
    n->counted = counted;
    n->admin = a;
    n->ticket = ticket;
    if (!n->counts_slowly)
        counted(a, ticket, 42);
}

static const struct admin_purge_record node_record = {
    .stream = 0xabc,
    .seq = 7,
    .purge = {PURGE_TAG, PURGE_SOFT, {"news", 4}, {"shop", 4}},
    .accepted_at_s = 1000,
    .node = "n1",
    .synced = true,
};

static const struct admin_purge_record node_other_records[] = {
    {.stream = 0xabc,
     .seq = 9,
     .purge = {PURGE_URL, PURGE_HARD, {"http://x.example/secret", 23}, {0}},
     .accepted_at_s = 1000,
     .node = "n1"},
    {.stream = 0xabc,
     .seq = 10,
     .purge = {PURGE_TAG, PURGE_HARD, {"everywhere", 10}, {0}},
     .accepted_at_s = 1000,
     .node = "n1"},
    {.stream = 0xabc,
     .seq = 11,
     .purge = {PURGE_URL, PURGE_HARD, {"http://shop.example/mine", 24}, {0}},
     .accepted_at_s = 1000,
     .node = "n1"},
};

static enum err node_purge_find(void *user, uint64_t stream, uint64_t seq,
                                void (*tell)(void *user, const struct admin_purge_record *r),
                                void *tell_user)
{
    (void)user;
    for (size_t i = 0; i < ARRAY_LEN(node_other_records); i++)
        if (stream == 0xabc && seq == node_other_records[i].seq) {
            tell(tell_user, &node_other_records[i]);
            return ERR_OK;
        }
    if (stream != 0xabc || (seq != 7 && seq != 6))
        return ERR_NOT_FOUND;
    struct admin_purge_record superseded = {.stream = stream, .seq = seq, .synced = true};
    tell(tell_user, seq == 6 ? &superseded : &node_record);
    return ERR_OK;
}

static void node_purge_list(void *user, int64_t since_s, uint32_t limit,
                            void (*tell)(void *user, const struct admin_purge_record *r),
                            void *tell_user)
{
    (void)user;
    if (since_s > 1000)
        return;
    for (uint32_t i = 0; i < ARRAY_LEN(node_other_records) && limit; i++, limit--)
        tell(tell_user, &node_other_records[i]);
    if (limit)
        tell(tell_user, &node_record);
}

static enum err node_cache_info(void *user, struct span url,
                                void (*tell)(void *user, const struct admin_variant *v),
                                void *tell_user)
{
    (void)user;
    struct admin_variant v = {
        .key = SPAN("http|shop.example:80|/a"),
        .status = 200,
        .age_s = 3,
        .fresh_left_s = 57,
        .body_bytes = 10,
        .etag = SPAN("\"x\""),
        .tier = "memory",
        .state = "fresh",
        .hits = 2,
        .form_count = 2,
        .forms = {{SPAN("identity"), 10, false, "memory"}, {SPAN("zstd"), 4, true, "disk"}}};
    if (!span_starts(url, SPAN("http")))
        return ERR_SYNTAX;
    if (span_ends(url, SPAN("/a")))
        tell(tell_user, &v);
    return ERR_OK;
}

static void node_figures(void *user, struct admin_figures *out)
{
    (void)user;
    *out = (struct admin_figures){.uptime_s = 5,
                                  .workers = 2,
                                  .objects = 9,
                                  .encoder_waiting = 3,
                                  .encoder_cpu_us = 12000345,
                                  .purge_log_ok = true};
}

static void node_servers(void *user, void (*tell)(void *user, const struct admin_server *s),
                         void *tell_user)
{
    (void)user;
    struct admin_server s = {"app", "10.0.0.1:80", true, 3, 1};
    tell(tell_user, &s);
    s.server = "10.0.0.2:80";
    tell(tell_user, &s);
}

/* One of us, and an agent that failed; `alone`: no cluster. */
static bool node_cluster(void *user, struct admin_cluster *out)
{
    struct node *n = user;
    *out = (struct admin_cluster){
        .core = {.nodes = {[CLUSTER_STATUS_ALIVE] = 1, [CLUSTER_STATUS_FAILED] = 1},
                 .swim = {.packets_in = 12, .dropped_refused = 3},
                 .swim_health = 2},
        .unsent = 4,
        .seeds_left = 1,
        .purges = {.members = 3, .unreachable = 1, .waiting = 2, .cautious = true, .pushed = 9},
        .keys_source = "secret_file",
        .now_us = 10000000};
    out->core.swim.faults[WIRE_FAULT_DECRYPT] = 5;
    return !n->alone;
}

static void node_nodes(void *user, void (*tell)(void *user, const struct cluster_node *n),
                       void *tell_user)
{
    struct cluster_node me = {
        .name = SPAN("n1"),
        .addr = {.family = ADDR_V4, .ip = {192, 0, 2, 1}, .port = 7946},
        .status = CLUSTER_STATUS_ALIVE,
        .me = true,
        .has_health = true,
        .health = {.load = 7},
        .tags = {.id = SPAN("n1"),
                 .region = SPAN("eu"),
                 .version = SPAN("0.1"),
                 .has_place = true,
                 .latitude = 50.11,
                 .longitude = -8.68,
                 .addresses = {{.family = ADDR_V4, .ip = {203, 0, 113, 1}}},
                 .address_count = 1,
                 .peer = {.family = ADDR_V4, .ip = {192, 0, 2, 1}, .port = 7947},
                 .capacity = 1},
        .since_us = 4000000,
        .rtt_us = -1,
        .rtt_own_us = -1};
    struct cluster_node agent = {
        .name = SPAN("odd agent"),
        .addr = {.family = ADDR_V6, .ip = {0x20, 1, 0xd, 0xb8}, .port = 1},
        .status = CLUSTER_STATUS_FAILED,
        .tags = {.capacity = 1},
        .rtt_us = 2500,
        .rtt_own_us = -1};
    (void)user;
    tell(tell_user, &me);
    tell(tell_user, &agent);
    agent.name = SPAN("n2");
    agent.status = CLUSTER_STATUS_ALIVE;
    agent.suspect = true;
    agent.rtt_own_us = 1500;
    tell(tell_user, &agent);
}

static enum err node_forget(void *user, struct span id)
{
    struct node *n = user;
    snprintf(n->forgotten, sizeof n->forgotten, "%.*s", SPAN_ARG(id));
    if (span_equal(id, SPAN("n1")))
        return ERR_REFUSED;
    return span_equal(id, SPAN("odd agent")) ? ERR_OK : ERR_NOT_FOUND;
}

static enum err node_reload(void *user, struct conf_faults *faults)
{
    struct node *n = user;
    n->reloads++;
    if (n->reload_err)
        conf_fault_add(faults, (struct conf_place){3, 5}, "no such \"thing\"");
    return n->reload_err;
}

static bool node_ready(void *user)
{
    return ((struct node *)user)->ready;
}

static const struct admin_actions node_actions = {
    .purge = node_purge,
    .purge_leave = node_purge_leave,
    .purge_confirmations = node_purge_confirmations,
    .purge_count = node_purge_count,
    .purge_find = node_purge_find,
    .purge_list = node_purge_list,
    .cache_info = node_cache_info,
    .figures = node_figures,
    .servers = node_servers,
    .cluster = node_cluster,
    .nodes = node_nodes,
    .forget = node_forget,
    .reload = node_reload,
    .ready = node_ready,
};

struct heard { /* by who asked */
    unsigned answers, status;
    char body[65536], fields[512], type[64];
};

static inline void hear(void *user, const struct admin_answer *answer)
{
    struct heard *h = user;
    size_t at = 0;
    h->answers++;
    h->status = answer->status;
    snprintf(h->body, sizeof h->body, "%.*s", SPAN_ARG(answer->body));
    snprintf(h->type, sizeof h->type, "%.*s", SPAN_ARG(answer->content_type));
    h->fields[0] = '\0';
    for (uint32_t i = 0; i < answer->fields.count; i++)
        at += (size_t)snprintf(h->fields + at, sizeof h->fields - at, "%.*s: %.*s\n",
                               SPAN_ARG(answer->fields.at[i].name),
                               SPAN_ARG(answer->fields.at[i].value));
}
