/* A real cache and a real log in a folder of their own; control's loop is a mailbox that the
 * test opens. */
#include "node/purges.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/counter.h"
#include "cache/core.h"
#include "cache/memory/epoch.h"
#include "cache/policy/key.h"
#include "conf/load.h"
#include "node/change.h"
#include "node/setup/setup.h"

#define DEADLINE_S 60
#ifndef WALKS
#define WALKS 12
#endif

#define NO_DROP "sites: [{ name: s, hosts: [h] }]\n"
#define DROP "sites: [{ name: s, hosts: [h], cache_key: { query: { drop: [utm] } } }]\n"

struct scene {
    char folder[64];
    bool no_log; /* its folder cannot be used */
    struct setup *setup;
    const struct conf *also; /* one that workers still have */
    struct letter_mailbox home;
    struct node_purges *purges;
    struct cache *cache;
    unsigned answers;
    uint64_t ticket, objects;
    struct admin_purge_done done;
};

static struct scene *scene_now; /* admin's call-backs have no user but admin */

static void note_answer(struct admin *a, uint64_t ticket, const struct admin_purge_done *done)
{
    (void)a;
    if (done->err == ERR_OK && done->stage != ADMIN_PURGE_EVERYWHERE)
        return; /* on its way */
    scene_now->answers++;
    scene_now->ticket = ticket;
    scene_now->done = *done;
}

static void note_count(struct admin *a, uint64_t ticket, uint64_t objects)
{
    (void)a;
    scene_now->answers++;
    scene_now->ticket = ticket;
    scene_now->objects = objects;
}

static struct setup *make_setup(const struct scene *s, const char *sites)
{
    char text[1024];
    struct conf_faults faults = {0};
    snprintf(text, sizeof text,
             "listeners: [{ address: \":8080\" }]\n"
             "origins: { app: { servers: [{ url: \"http://127.0.0.1:1\" }] } }\n"
             "node: { id: n1, data_dir: %s }\n"
             "cache: { memory: 8MiB, disk: { size: 16MiB } }\n%s",
             s->folder, sites);
    struct conf *conf = conf_load_text(span_text(text), "test.yaml", &faults);
    assert_non_null(conf);
    struct setup *setup = setup_create(conf, NULL, NULL, 1, &faults);
    assert_non_null(setup);
    conf_faults_fini(&faults);
    return setup;
}

static uint32_t confs_of(void *user, const struct conf **out, uint32_t max)
{
    const struct scene *s = user;
    assert_true(max >= 2);
    out[0] = s->setup->conf;
    out[1] = s->also;
    return s->also ? 2 : 1;
}

static void start(struct scene *s)
{
    letter_mailbox_init(&s->home, NULL, NULL);
    const struct node_purges_conf purges = {
        .conf = s->setup->conf, .home = &s->home, .confs = confs_of, .user = s};
    assert_int_equal(node_purges_open(&purges, &s->purges), ERR_OK);
    const struct cluster_purge_disk_opened *log = node_purges_opened(s->purges);
    struct cache_conf conf = {.cache = &s->setup->conf->cache,
                              .path = s->setup->conf->cache.path,
                              .purge_boot_no = log->boot_no,
                              .purge_log_id = span_of(log->log_id, sizeof log->log_id),
                              .control = &s->home};
    assert_int_equal(cache_open(&conf, &s->cache), ERR_OK);
    node_purges_tick(s->purges, 1000);
    node_purges_join(s->purges, s->cache, s->setup->conf);
    if (!s->no_log)
        assert_int_equal(node_purges_opened(s->purges)->boot_no, cache_boot_no(s->cache));
}

static void stop(struct scene *s)
{
    node_purges_close(s->purges);
    cache_close(s->cache);
}

static void scene_init(struct scene *s, const char *sites)
{
    *s = (struct scene){0};
    scene_now = s;
    strcpy(s->folder, "/tmp/perigee_test_XXXXXX");
    assert_non_null(mkdtemp(s->folder));
    s->setup = make_setup(s, sites);
    start(s);
}

static void scene_fini(struct scene *s)
{
    char command[128];
    stop(s);
    setup_drop(s->setup);
    snprintf(command, sizeof command, "rm -rf %s", s->folder);
    assert_int_equal(system(command), 0);
}

static void wait_answers(struct scene *s, unsigned answers)
{
    time_t end = time(NULL) + DEADLINE_S;
    while (s->answers < answers) {
        if (letter_open_all(&s->home) == 0)
            usleep(200);
        assert_true(time(NULL) < end);
    }
}

static struct purge tag(const char *name)
{
    return (struct purge){.kind = PURGE_TAG, .mode = PURGE_HARD, .selector = span_text(name)};
}

static void apply(struct scene *s, const struct purge *list, uint32_t count, uint64_t ticket)
{
    node_purges_apply(s->purges, list, count, note_answer, NULL, ticket);
}

static uint64_t names_of(const struct scene *s)
{
    struct cache_figures f;
    cache_figures(s->cache, &f);
    return f.purge_names;
}

static uint64_t clock_of(const struct scene *s)
{
    struct cache_figures f;
    cache_figures(s->cache, &f);
    return f.apply_no;
}

static void keep_record(void *user, const struct admin_purge_record *r)
{
    *(struct admin_purge_record *)user = *r;
}

static void keep_confirmed(void *user, struct span id, enum admin_purge_confirmed state)
{
    assert_true(span_equal(id, SPAN("n1")));
    *(int *)user = (int)state;
}

static int confirmed(struct scene *s, uint64_t seq)
{
    int state = -1;
    uint64_t stream = s->done.stream;
    enum err err = node_purges_confirmations(s->purges, stream, seq, keep_confirmed, &state);
    assert_int_equal(err, state < 0 ? ERR_NOT_FOUND : ERR_OK);
    return state;
}

/* --- tests --- */

static void test_answered_when_synced(void **state)
{
    (void)state;
    struct scene s;
    struct admin_purge_record r = {0};
    struct purge list[] = {tag("a"), tag("b"), tag("c")};
    scene_init(&s, NO_DROP);
    apply(&s, list, 3, 42);
    assert_int_equal(names_of(&s), 3); /* at once */
    assert_int_equal(s.answers, 0);
    wait_answers(&s, 1);
    assert_int_equal(s.ticket, 42);
    assert_int_equal(s.done.err, ERR_OK);
    assert_int_equal(s.done.stage, ADMIN_PURGE_EVERYWHERE);
    assert_int_equal(s.done.seq, 3);
    assert_int_equal(confirmed(&s, 3), ADMIN_PURGE_APPLIED);
    assert_int_equal(confirmed(&s, 4), -1);
    assert_int_equal(node_purges_find(s.purges, s.done.stream, 3, keep_record, &r), ERR_OK);
    assert_int_equal(r.purge.kind, PURGE_TAG);
    assert_true(r.synced);
    assert_int_equal(node_purges_find(s.purges, s.done.stream, 4, keep_record, &r),
                     ERR_NOT_FOUND);
    scene_fini(&s);
}

static void test_superseded_is_not_lost(void **state)
{
    (void)state;
    struct scene s;
    struct admin_purge_record r = {0};
    struct purge a = tag("a");
    scene_init(&s, NO_DROP);
    apply(&s, &a, 1, 1);
    wait_answers(&s, 1);
    struct admin_purge_done first = s.done;
    apply(&s, &a, 1, 2);
    assert_int_equal(confirmed(&s, first.seq + 1), ADMIN_PURGE_PENDING);
    node_purges_leave(s.purges, 7); /* not one of ours */
    wait_answers(&s, 2);
    assert_int_equal(confirmed(&s, first.seq), ADMIN_PURGE_APPLIED);
    assert_int_equal(node_purges_find(s.purges, first.stream, first.seq, keep_record, &r),
                     ERR_OK);
    assert_int_equal(r.purge.kind, 0);
    assert_true(r.synced);
    assert_int_equal(r.seq, first.seq);
    scene_fini(&s);
}

static void test_nothing_of_a_bad_list(void **state)
{
    (void)state;
    struct scene s;
    struct purge list[] = {
        tag("a"), {.kind = PURGE_URL, .mode = PURGE_HARD, .selector = span_text("no url")}};
    scene_init(&s, NO_DROP);
    uint64_t before = clock_of(&s);
    apply(&s, list, 2, 7);
    assert_int_equal(s.answers, 1);
    assert_int_equal(s.done.err, ERR_SYNTAX);
    assert_int_equal(names_of(&s), 0);
    assert_int_equal(clock_of(&s), before);
    scene_fini(&s);
}

static void test_replayed_with_old_numbers(void **state)
{
    (void)state;
    struct scene s;
    struct admin_purge_record before = {0}, after = {0};
    struct purge list[] = {tag("a"), tag("b")};
    scene_init(&s, NO_DROP);
    apply(&s, list, 2, 1);
    wait_answers(&s, 1);
    struct admin_purge_done done = s.done;
    assert_int_equal(node_purges_find(s.purges, done.stream, 1, keep_record, &before), ERR_OK);
    uint64_t clock_before = clock_of(&s), boot_before = cache_boot_no(s.cache);
    stop(&s);
    start(&s);
    assert_int_equal(names_of(&s), 2);
    assert_true(clock_of(&s) > clock_before);
    assert_true(cache_boot_no(s.cache) > boot_before);
    assert_int_equal(node_purges_find(s.purges, done.stream, 1, keep_record, &after), ERR_OK);
    assert_int_equal(after.apply_no, before.apply_no);
    scene_fini(&s);
}

static void test_log_forgotten_cache_kept(void **state)
{
    (void)state;
    struct scene s;
    char command[128];
    struct purge a = tag("a");
    scene_init(&s, NO_DROP);
    apply(&s, &a, 1, 1);
    wait_answers(&s, 1);
    uint64_t clock_before = clock_of(&s);
    stop(&s);
    snprintf(command, sizeof command, "rm -r %s/purge-log", s.folder);
    assert_int_equal(system(command), 0);
    start(&s); /* the cache knows higher numbers than the new log */
    assert_true(clock_of(&s) > clock_before);
    scene_fini(&s);
}

static void test_named_anew(void **state)
{
    (void)state;
    struct scene s;
    struct purge url = {
        .kind = PURGE_URL, .mode = PURGE_HARD, .selector = span_text("http://h/a?utm=1")};
    scene_init(&s, DROP);
    apply(&s, &url, 1, 1);
    wait_answers(&s, 1);
    apply(&s, &url, 1, 2); /* one that may still be on its way to the disk */
    assert_int_equal(names_of(&s), 1);
    struct setup *next = make_setup(&s, NO_DROP);
    node_purges_rename(s.purges, s.setup->conf, next->conf);
    assert_int_equal(names_of(&s), 2); /* /a as before, and /a?utm=1 */
    wait_answers(&s, 2);
    setup_drop(next);
    scene_fini(&s);
}

static void test_under_both_configurations(void **state)
{
    (void)state;
    struct scene s;
    struct purge url = {
        .kind = PURGE_URL, .mode = PURGE_HARD, .selector = span_text("http://h/a?utm=1")};
    scene_init(&s, DROP);
    struct setup *next = make_setup(&s, NO_DROP);
    s.also = next->conf;
    node_purges_apply(s.purges, &url, 1, note_answer, NULL, 5);
    assert_int_equal(names_of(&s), 2);
    wait_answers(&s, 1);
    assert_int_equal(s.done.err, ERR_OK);
    assert_int_equal(s.done.seq, 1); /* one record */
    s.also = NULL;
    setup_drop(next);
    scene_fini(&s);
}

#define TWO "sites: [{ name: s, hosts: [h] }, { name: t, hosts: [i] }]\n"
#define MOVED "sites: [{ name: s, hosts: [j] }, { name: t, hosts: [i, h] }]\n"
#define THREE                                                                                  \
    "sites: [{ name: u, hosts: [k] }, { name: s, hosts: [h] }, { name: t, hosts: [i] }]\n"

/* Is what host `h` bore before the purges, with the tag, purged as this site's? */
static bool is_purged_for(const struct scene *s, const char *site)
{
    struct memory_epoch *e = s->cache->tier.epoch;
    uint64_t tag_hash = memory_epoch_tag(e, SPAN("a"), false);
    struct memory_names n = {.url = SPAN("h/x"),
                             .host = SPAN("h"),
                             .path_query = SPAN("/x"),
                             .site = span_text(site),
                             .tags = &tag_hash,
                             .tag_count = 1};
    return memory_epoch_check(e, &n, 1, NULL) == MEMORY_PURGED_HARD;
}

static void start_under(struct scene *s, const char *sites)
{
    stop(s);
    setup_drop(s->setup);
    s->setup = make_setup(s, sites);
    start(s);
}

static void purge_for_s(struct scene *s)
{
    struct purge a = tag("a");
    a.site = SPAN("s");
    apply(s, &a, 1, 1);
    wait_answers(s, 1);
    assert_true(is_purged_for(s, "s") && !is_purged_for(s, "t"));
}

static void sweep(struct scene *s)
{
    struct memory_epoch *e = s->cache->tier.epoch;
    (void)memory_sweep_pass(s->cache->sweep, s->setup->conf, memory_epoch_renames(e));
    node_purges_tick(s->purges, 1000);
    assert_false(is_purged_for(s, "s"));
}

/* What was not swept, and was another site's perhaps, is purged whosever it is now; until that
 * is swept, starts know of it. */
static void test_a_start_under_other_sites(void **state)
{
    (void)state;
    struct scene s;
    uint64_t widened = counter_sum(COUNTER_PURGE_WIDENED);
    scene_init(&s, TWO);
    purge_for_s(&s);
    start_under(&s, TWO);
    assert_true(is_purged_for(&s, "s") && !is_purged_for(&s, "t"));
    assert_int_equal(counter_sum(COUNTER_PURGE_WIDENED), widened);
    start_under(&s, MOVED);
    assert_true(is_purged_for(&s, "t"));
    assert_int_equal(counter_sum(COUNTER_PURGE_WIDENED), widened + 1);
    start_under(&s, MOVED); /* it was not swept yet */
    assert_true(is_purged_for(&s, "t"));
    assert_int_equal(counter_sum(COUNTER_PURGE_WIDENED), widened + 2);
    sweep(&s);
    for (unsigned i = 0; i < 2; i++) {
        start_under(&s, i ? TWO : MOVED);
        assert_true(is_purged_for(&s, "s") && !is_purged_for(&s, "t"));
        assert_int_equal(counter_sum(COUNTER_PURGE_WIDENED), widened + 2);
    }
    scene_fini(&s);
}

/* Swept under the sites of before: nothing is left to be another's. */
static void test_swept_before_the_sites_changed(void **state)
{
    (void)state;
    struct scene s;
    uint64_t widened = counter_sum(COUNTER_PURGE_WIDENED);
    scene_init(&s, TWO);
    purge_for_s(&s);
    sweep(&s);
    start_under(&s, MOVED);
    assert_false(is_purged_for(&s, "t"));
    assert_int_equal(counter_sum(COUNTER_PURGE_WIDENED), widened);
    assert_int_equal(names_of(&s), 1); /* as what it is now, which costs nothing */
    scene_fini(&s);
}

static void test_sites_change_in_a_reload(void **state)
{
    (void)state;
    static const struct {
        const char *why, *next;
        bool widens, swept;
    } rows[] = {
        {"one more site", THREE, false, false},
        {"a host moves", MOVED, true, false},
        {"after the sweep", MOVED, false, true},
        {"the site goes", "sites: [{ name: t, hosts: [h] }]\n", true, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct scene s;
        uint64_t widened = counter_sum(COUNTER_PURGE_WIDENED);
        scene_init(&s, TWO);
        purge_for_s(&s);
        if (rows[i].swept)
            sweep(&s);
        struct setup *next = make_setup(&s, rows[i].next), *leaving = s.setup;
        node_purges_rename(s.purges, leaving->conf, next->conf);
        s.setup = next;
        if (is_purged_for(&s, "t") != rows[i].widens ||
            counter_sum(COUNTER_PURGE_WIDENED) - widened != rows[i].widens)
            fail_msg("%s", rows[i].why);
        setup_drop(leaving);
        start_under(&s, rows[i].next); /* killed before a sweep, it is as before */
        if (is_purged_for(&s, "t") != rows[i].widens)
            fail_msg("%s: after a start", rows[i].why);
        sweep(&s);
        scene_fini(&s);
    }
}

/* A worker that has the sites of before says which one it means. */
static void test_while_the_sites_change(void **state)
{
    (void)state;
    struct scene s;
    struct purge a = tag("a");
    a.site = SPAN("s");
    scene_init(&s, MOVED);
    struct setup *leaving = make_setup(&s, TWO), *more = make_setup(&s, THREE);
    s.also = more->conf; /* where `s` was something else, too */
    apply(&s, &a, 1, 1);
    assert_true(is_purged_for(&s, "t"));
    sweep(&s);
    assert_false(is_purged_for(&s, "t"));
    s.also = leaving->conf;
    apply(&s, &a, 1, 2);
    wait_answers(&s, 2);
    assert_true(is_purged_for(&s, "t"));
    s.also = NULL;
    start_under(&s, MOVED);
    assert_true(is_purged_for(&s, "t"));
    sweep(&s);
    start_under(&s, MOVED);
    assert_false(is_purged_for(&s, "t"));
    setup_drop(leaving);
    setup_drop(more);
    scene_fini(&s);
}

/* All of a site, widened: no sweep sees to that, and no start takes it for swept. */
static void test_all_of_a_site_that_moved(void **state)
{
    (void)state;
    struct scene s;
    struct purge all = {.kind = PURGE_ALL, .mode = PURGE_HARD, .site = SPAN("s")};
    struct purge other = tag("other");
    scene_init(&s, TWO);
    apply(&s, &all, 1, 1);
    wait_answers(&s, 1);
    struct setup *next = make_setup(&s, MOVED), *leaving = s.setup;
    node_purges_rename(s.purges, leaving->conf, next->conf);
    s.setup = next;
    setup_drop(leaving);
    for (unsigned i = 0; i < 3; i++) {
        struct memory_epoch *e = s.cache->tier.epoch;
        assert_true(is_purged_for(&s, "t"));
        apply(&s, &other, 1, 2);
        wait_answers(&s, 2 + i);
        (void)memory_sweep_pass(s.cache->sweep, s.setup->conf, memory_epoch_renames(e));
        node_purges_tick(s.purges, 1000);
        start_under(&s, MOVED);
    }
    scene_fini(&s);
}

/* A site that is new to the one in force, and not known to a worker yet. */
static void test_a_site_that_a_worker_does_not_know(void **state)
{
    (void)state;
    struct scene s;
    struct purge a = tag("a");
    a.site = SPAN("u");
    scene_init(&s, "sites: [{ name: s, hosts: [j] }, { name: u, hosts: [h] }]\n");
    struct setup *leaving = make_setup(&s, NO_DROP);
    s.also = leaving->conf;
    apply(&s, &a, 1, 1);
    wait_answers(&s, 1);
    assert_true(is_purged_for(&s, "u") && is_purged_for(&s, "s"));
    s.also = NULL;
    setup_drop(leaving);
    scene_fini(&s);
}

/* --- walks: hosts change their sites while they are filled, purged and swept --- */

#define WALK_HOSTS 3
#define WALK_TAGS 2
#define WALK_OBJECTS 24

static const char *const walk_hosts[WALK_HOSTS] = {"h", "i", "j.k"};
static const char *const walk_tags[WALK_TAGS] = {"a", "b"};
static const char *const walk_sites[] = {
    "sites: [{ name: s, hosts: [h, i] }, { name: t, hosts: ['*.k'] }]\n",
    "sites: [{ name: s, hosts: [h] }, { name: t, hosts: [i, '*.k'] }]\n",
    "sites: [{ name: s, hosts: [h] }, { name: t, hosts: [i, '*.k'] }, { name: u, hosts: [j.k] "
    "}]\n",
    "sites: [{ name: u, hosts: [h, i, j.k] }]\n",
};

struct walk {
    struct scene scene;
    uint64_t dice;
    struct walk_object { /* what disks and memory may have */
        bool there, dead;
        unsigned host, tag;
        uint64_t fill_no;
    } objects[WALK_OBJECTS];
};

static unsigned throw_dice(struct walk *w, unsigned sides)
{
    w->dice = w->dice * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (unsigned)(w->dice >> 33) % sides;
}

static const char *site_of_host(const struct walk *w, unsigned host)
{
    const struct conf_site *site =
        policy_key_site(w->scene.setup->conf, span_text(walk_hosts[host]));
    assert_non_null(site);
    return site->name;
}

static bool is_usable(const struct walk *w, const struct walk_object *o, bool to_sweep)
{
    char url[32];
    struct memory_epoch *e = w->scene.cache->tier.epoch;
    snprintf(url, sizeof url, "%s/x", walk_hosts[o->host]);
    uint64_t tag_hash = memory_epoch_tag(e, span_text(walk_tags[o->tag]), false);
    struct memory_names n = {.url = span_text(url),
                             .host = span_text(walk_hosts[o->host]),
                             .path_query = SPAN("/x"),
                             .site = span_text(site_of_host(w, o->host)),
                             .tags = &tag_hash,
                             .tag_count = 1,
                             .without_all = to_sweep};
    return memory_epoch_check(e, &n, o->fill_no, NULL) != MEMORY_PURGED_HARD;
}

static void walk_purge(struct walk *w)
{
    unsigned at = throw_dice(w, WALK_HOSTS), by = throw_dice(w, WALK_TAGS + 1);
    const char *site = site_of_host(w, at);
    struct purge p = {.kind = by < WALK_TAGS ? PURGE_TAG : PURGE_ALL, .mode = PURGE_HARD};
    p.selector = by < WALK_TAGS ? span_text(walk_tags[by]) : SPAN("");
    p.site = span_text(site);
    apply(&w->scene, &p, 1, 0);
    for (unsigned i = 0; i < WALK_OBJECTS; i++) {
        struct walk_object *o = &w->objects[i];
        if ((by == WALK_TAGS || o->tag == by) && strcmp(site_of_host(w, o->host), site) == 0)
            o->dead = o->there;
    }
}

/* What the sweep finds purged goes; then names may. */
static void walk_sweep(struct walk *w)
{
    struct memory_epoch *e = w->scene.cache->tier.epoch;
    for (unsigned i = 0; i < WALK_OBJECTS; i++)
        w->objects[i].there = w->objects[i].there && is_usable(w, &w->objects[i], true);
    (void)memory_sweep_pass(w->scene.cache->sweep, w->scene.setup->conf,
                            memory_epoch_renames(e));
    if (throw_dice(w, 2)) /* the log hears of it, or does not any more */
        node_purges_tick(w->scene.purges, 1000);
}

static void walk_reload(struct walk *w, const char *sites)
{
    struct setup *leaving = w->scene.setup, *next = make_setup(&w->scene, sites);
    if (node_change_renames(leaving->conf, next->conf))
        node_purges_rename(w->scene.purges, leaving->conf, next->conf);
    w->scene.setup = next;
    setup_drop(leaving);
}

static void walk_step(struct walk *w)
{
    const char *sites = walk_sites[throw_dice(w, ARRAY_LEN(walk_sites))];
    switch (throw_dice(w, 16)) {
    case 0:
    case 1:
        walk_reload(w, sites);
        return;
    case 2:
        start_under(&w->scene, sites);
        return;
    case 3:
    case 4:
        walk_sweep(w);
        return;
    case 5:
    case 6:
    case 7:
        walk_purge(w);
        return;
    default:
        w->objects[throw_dice(w, WALK_OBJECTS)] =
            (struct walk_object){.there = true,
                                 .host = throw_dice(w, WALK_HOSTS),
                                 .tag = throw_dice(w, WALK_TAGS),
                                 .fill_no = memory_epoch_now(w->scene.cache->tier.epoch)};
    }
}

/* Nothing that was purged is usable again, whosever site its host is. */
static void test_walks_of_sites(void **state)
{
    (void)state;
    unsigned usable = 0;
    for (uint64_t seed = 1; seed <= WALKS; seed++) {
        struct walk w = {.dice = seed};
        scene_init(&w.scene, walk_sites[0]);
        for (unsigned step = 0; step < 120; step++) {
            walk_step(&w);
            (void)letter_open_all(&w.scene.home);
            for (unsigned i = 0; i < WALK_OBJECTS; i++) {
                const struct walk_object *o = &w.objects[i];
                if (!o->there || !is_usable(&w, o, false))
                    continue;
                if (o->dead)
                    fail_msg("seed %llu, step %u: %s, tag %s", (unsigned long long)seed, step,
                             walk_hosts[o->host], walk_tags[o->tag]);
                usable++;
            }
        }
        scene_fini(&w.scene);
    }
    assert_true(usable > WALKS * 120); /* and much is, where nothing was purged */
}

/* Control's mailbox is not opened: nothing comes home, and the log's room ends. */
static void test_log_full_is_told(void **state)
{
    (void)state;
    struct scene s;
    char names[256][16];
    struct purge list[256];
    unsigned calls = 0;
    scene_init(&s, NO_DROP);
    while (s.answers == 0 && calls * 256 <= CLUSTER_PURGE_PENDING) {
        for (unsigned i = 0; i < 256; i++) {
            snprintf(names[i], sizeof names[i], "%u", calls * 256 + i);
            list[i] = tag(names[i]);
        }
        apply(&s, list, 256, ++calls);
    }
    assert_int_equal(s.answers, 1);
    assert_int_equal(s.ticket, calls);
    assert_int_equal(s.done.err, ERR_LIMIT);
    assert_int_equal(names_of(&s), calls * 256); /* in effect all the same */
    wait_answers(&s, calls);
    assert_int_equal(s.done.err, ERR_OK);
    scene_fini(&s);
}

static void in_folder(const struct scene *s, const char *what)
{
    char command[256];
    snprintf(command, sizeof command, "cd %s && %s", s->folder, what);
    assert_int_equal(system(command), 0);
}

/* In effect, and told not to last. */
static void test_without_a_log(void **state)
{
    (void)state;
    struct scene s;
    struct admin_figures f;
    struct purge list[] = {tag("a"), tag("b")};
    scene_init(&s, NO_DROP);
    uint64_t boot_no = cache_boot_no(s.cache);
    stop(&s);
    in_folder(&s, "mv purge-log kept && touch purge-log");
    s.no_log = true;
    start(&s);
    assert_int_equal(cache_boot_no(s.cache), boot_no + 1);
    apply(&s, list, 2, 7);
    assert_int_equal(s.answers, 1);
    assert_int_equal(s.ticket, 7);
    assert_int_equal(s.done.err, ERR_SYS);
    assert_int_equal(names_of(&s), 2);
    apply(&s, list, 2, 0);
    node_purges_rename(s.purges, s.setup->conf, s.setup->conf);
    node_purges_tick(s.purges, 1001);
    node_purges_figures(s.purges, &f);
    assert_false(f.purge_log_ok);
    stop(&s);
    s.no_log = false;
    in_folder(&s, "rm purge-log && mv kept purge-log");
    start(&s);
    assert_true(cache_boot_no(s.cache) > boot_no + 1);
    assert_int_equal(names_of(&s), 0);
    apply(&s, list, 1, 8);
    wait_answers(&s, 2);
    assert_int_equal(s.done.err, ERR_OK);
    scene_fini(&s);
}

static void test_counted_elsewhere(void **state)
{
    (void)state;
    struct scene s;
    struct purge a = tag("a");
    scene_init(&s, NO_DROP);
    node_purges_count(s.purges, s.setup, &a, 1, note_count, NULL, 9);
    wait_answers(&s, 1);
    assert_int_equal(s.ticket, 9);
    assert_int_equal(s.objects, 0);
    assert_int_equal(names_of(&s), 0);
    scene_fini(&s);
}

static void test_all_is_told_at_the_end(void **state)
{
    (void)state;
    struct scene s;
    struct purge a = tag("a"), b = tag("b");
    scene_init(&s, NO_DROP);
    apply(&s, &a, 1, 1);
    apply(&s, &b, 1, 2);
    apply(&s, &b, 1, 0); /* nobody wants to know */
    node_purges_count(s.purges, s.setup, &a, 1, note_count, NULL, 3);
    scene_fini(&s);
    assert_int_equal(s.answers, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answered_when_synced),
        cmocka_unit_test(test_superseded_is_not_lost),
        cmocka_unit_test(test_nothing_of_a_bad_list),
        cmocka_unit_test(test_replayed_with_old_numbers),
        cmocka_unit_test(test_log_forgotten_cache_kept),
        cmocka_unit_test(test_named_anew),
        cmocka_unit_test(test_a_start_under_other_sites),
        cmocka_unit_test(test_swept_before_the_sites_changed),
        cmocka_unit_test(test_sites_change_in_a_reload),
        cmocka_unit_test(test_while_the_sites_change),
        cmocka_unit_test(test_all_of_a_site_that_moved),
        cmocka_unit_test(test_a_site_that_a_worker_does_not_know),
        cmocka_unit_test(test_walks_of_sites),
        cmocka_unit_test(test_under_both_configurations),
        cmocka_unit_test(test_log_full_is_told),
        cmocka_unit_test(test_without_a_log),
        cmocka_unit_test(test_counted_elsewhere),
        cmocka_unit_test(test_all_is_told_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
