#include "tests/unit/cluster/swim_talk.h"

/* Member z is alive and everything about it told. Then `before` happens (messages, "wait" for
 * milliseconds; separated by commas), is told, and then `heard` is heard. */
static const struct row {
    const char *why, *before, *heard, *view, *news, *queued;
} rules[] = {
    /* alive, about others */
    {"a new one joins", "", "alive b 3", "b alive 3", "+b ", "alive b 3\n"},
    {"even with incarnation 0", "", "alive b 0", "b alive 0", "+b ", "alive b 0\n"},
    {"the same again", "alive b 3", "alive b 3", "b alive 3", "", ""},
    {"the same with other meta", "alive b 3", "alive b 3 meta=x", "b alive 3", "", ""},
    {"older", "alive b 3", "alive b 2 meta=x", "b alive 3", "", ""},
    {"newer", "alive b 3", "alive b 4", "b alive 4", "", "alive b 4\n"},
    {"newer with other meta", "alive b 3", "alive b 4 meta=x", "b alive 4", "~b ",
     "alive b 4 meta=x\n"},
    {"a suspect is not cleared by what is known", "alive b 3,suspect b 3 z", "alive b 3",
     "b suspect 3", "", ""},
    {"a suspect refutes", "alive b 3,suspect b 3 z", "alive b 4", "b alive 4", "",
     "alive b 4\n"},
    {"the dead do not come back by old news", "alive b 3,dead b 3 z", "alive b 3", "b dead 3",
     "", ""},
    {"the dead come back", "alive b 3,dead b 3 z", "alive b 4", "b alive 4", "+b ",
     "alive b 4\n"},
    {"and with other meta only join", "alive b 3,dead b 3 z", "alive b 4 meta=x", "b alive 4",
     "+b ", "alive b 4 meta=x\n"},
    {"who left comes back", "alive b 3,dead b 3 b", "alive b 4", "b alive 4", "+b ",
     "alive b 4\n"},
    {"who left, by old news", "alive b 3,dead b 3 b", "alive b 3", "b left 3", "", ""},
    /* a new address */
    {"a name that lives elsewhere", "alive b 3", "alive b 9 at=x", "b alive 3", "!b@x ", ""},
    {"or is suspect", "alive b 3,suspect b 3 z", "alive b 9 at=x", "b suspect 3", "!b@x ", ""},
    {"or died just now", "alive b 3,dead b 3 z,wait 9999", "alive b 9 at=x", "b dead 3",
     "!b@x ", ""},
    {"dead for 10 s: taken, also with a lower incarnation", "alive b 3,dead b 3 z,wait 10000",
     "alive b 1 at=x", "b alive 1", "+b ", "alive b 1\n"},
    {"left: taken at once", "alive b 3,dead b 3 b", "alive b 1 at=x", "b alive 1", "+b ",
     "alive b 1\n"},
    /* versions */
    {"protocol min 0", "", "alive b 1 vsn=0.5.2.2.5.5", "no b", "", ""},
    {"protocol max 0", "", "alive b 1 vsn=1.0.0.2.5.5", "no b", "", ""},
    {"protocol min above max", "", "alive b 1 vsn=6.5.5.2.5.5", "no b", "", ""},
    {"protocol current below min", "", "alive b 1 vsn=2.5.1.2.5.5", "no b", "", ""},
    {"protocol current above max", "", "alive b 1 vsn=1.5.6.2.5.5", "no b", "", ""},
    {"delegate current below min", "", "alive b 1 vsn=1.5.2.2.5.1", "no b", "", ""},
    {"delegate current above max", "", "alive b 1 vsn=1.5.2.2.5.6", "no b", "", ""},
    {"no delegate at all", "", "alive b 1 vsn=1.5.5.0.0.0", "b alive 1", "+b ", "alive b 1\n"},
    {"no port", "", "alive b 1 portless", "no b", "", ""},
    {"no versions", "", "alive b 1 vsn=0.0.0.0.0.0", "no b", "", ""},
    /* about this node */
    {"this node, known", "", "alive a 1", "a alive 1", "", ""},
    {"this node, older", "", "alive a 0 meta=x", "a alive 1", "", ""},
    {"an earlier start of it, with other meta", "", "alive a 1 meta=x", "a alive 2", "",
     "alive a 2\n"},
    {"an earlier start of it, with other versions", "", "alive a 1 vsn=1.5.2.2.5.4",
     "a alive 2", "", "alive a 2\n"},
    {"an earlier start of it, newer", "", "alive a 7", "a alive 8", "", "alive a 8\n"},
    {"the highest number there is", "", "alive a 4294967295", "a alive 4294967295", "",
     "alive a 4294967295\n"},
    {"somebody with its name", "", "alive a 7 at=x", "a alive 1", "!a@x ", ""},
    /* suspect */
    {"a stranger is suspect", "", "suspect b 1 z", "no b", "", ""},
    {"suspect with an old number", "alive b 3", "suspect b 2 z", "b alive 3", "", ""},
    {"suspect", "alive b 3", "suspect b 3 z", "b suspect 3", "", "suspect b 3 z\n"},
    {"suspect with a newer number", "alive b 3", "suspect b 4 z", "b suspect 4", "",
     "suspect b 4 z\n"},
    {"the same accuser", "alive b 3,alive c 1,suspect b 3 z", "suspect b 3 z", "b suspect 3",
     "", ""},
    {"another accuser is news", "alive b 3,alive c 1,suspect b 3 z", "suspect b 3 c",
     "b suspect 3", "", "suspect b 3 c\n"},
    {"the third of two", "alive b 3,alive c 1,suspect b 3 z,suspect b 3 c,suspect b 3 d",
     "suspect b 3 e", "b suspect 3", "", ""},
    {"three members: nobody to confirm", "alive b 3,suspect b 3 z", "suspect b 3 c",
     "b suspect 3", "", ""},
    {"another accuser with an old number", "alive b 3,alive c 1,suspect b 3 z", "suspect b 2 c",
     "b suspect 3", "", ""},
    {"the dead are not suspect", "alive b 3,dead b 3 z", "suspect b 4 z", "b dead 3", "", ""},
    {"nor who left", "alive b 3,dead b 3 b", "suspect b 4 z", "b left 3", "", ""},
    {"this node, by old news", "", "suspect a 0 z", "a alive 1", "", ""},
    {"this node", "", "suspect a 1 z", "a alive 2", "", "alive a 2\n"},
    {"this node, of an earlier start", "", "suspect a 5 z", "a alive 6", "", "alive a 6\n"},
    /* dead */
    {"a stranger is dead", "", "dead b 1 z", "no b", "", ""},
    {"dead with an old number", "alive b 3", "dead b 2 z", "b alive 3", "", ""},
    {"dead", "alive b 3", "dead b 3 z", "b dead 3", "-b ", "dead b 3 z\n"},
    {"a suspect is dead", "alive b 3,suspect b 3 z", "dead b 3 z", "b dead 3", "-b ",
     "dead b 3 z\n"},
    {"dead with a newer number", "alive b 3", "dead b 4 z", "b dead 4", "-b ", "dead b 4 z\n"},
    {"it says itself that it leaves", "alive b 3", "dead b 3 b", "b left 3", "<b ",
     "dead b 3 b\n"},
    {"dead again", "alive b 3,dead b 3 z", "dead b 5 z", "b dead 3", "", ""},
    {"leaves after death", "alive b 3,dead b 3 z", "dead b 3 b", "b dead 3", "", ""},
    {"this node is dead", "", "dead a 1 z", "a alive 2", "", "alive a 2\n"},
    {"this node left, in an earlier start", "", "dead a 4 a", "a alive 5", "", "alive a 5\n"},
    {"this node is dead, by old news", "", "dead a 0 z", "a alive 1", "", ""},
};

static void happen(struct bench *b, const char *script)
{
    struct span rest = span_text(script), step;
    while (rest.len > 0 && span_split(&rest, ',', &step)) {
        char *words = span_dup(step);
        uint64_t ms;
        if (span_starts(step, SPAN("wait "))) {
            assert_true(span_to_u64(span_from(step, 5), &ms));
            b->now_us += (int64_t)ms * MS;
        } else {
            bench_hear(b, words, 'z');
        }
        free(words);
    }
}

static void prepare(struct bench *b, const char *before)
{
    bench_hear(b, "alive z 1", 'z');
    bench_flush(b);
    /* Time passes without ticks here: not as a stall, and nothing but the rules at work. */
    happen(b, before);
    bench_flush(b);
    (void)bench_news(b);
}

static void the_rules(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(rules); i++) {
        const struct row *r = &rules[i];
        struct bench b;
        struct cluster_swim_conf conf = bench_conf();
        conf.profile.probe_interval_us = 60 * SECOND;
        bench_open(&b, &conf);
        prepare(&b, r->before);
        bench_hear(&b, r->heard, 'z');
        char name[2] = {r->view[strlen(r->view) > 4 ? 0 : 3], 0};
        const char *view = bench_view(&b, name);
        if (strcmp(view, r->view) != 0)
            fail_msg("%s: %s", r->why, view);
        const char *news = bench_news(&b);
        if (strcmp(news, r->news) != 0)
            fail_msg("%s: news %s", r->why, news);
        const char *queued = bench_queued(&b);
        if (strcmp(queued, r->queued) != 0)
            fail_msg("%s: queued %s", r->why, queued);
        bench_close(&b);
    }
}

static void refuting_costs_health(void **state)
{
    (void)state;
    struct bench b;
    struct cluster_swim_conf conf = bench_conf();
    bench_open(&b, &conf);
    prepare(&b, "");
    assert_int_equal(cluster_swim_health(b.swim), 0);
    for (unsigned i = 1; i < 12; i++) {
        char words[40];
        snprintf(words, sizeof(words), "suspect a %u z", i);
        bench_hear(&b, words, 'z');
        assert_int_equal(cluster_swim_health(b.swim), i < 7 ? i : 7);
    }
    assert_int_equal(cluster_swim_counters(b.swim)->refuted, 11);
    bench_close(&b);
    conf.lifeguard = false;
    bench_open(&b, &conf);
    bench_hear(&b, "suspect a 1 z", 'z');
    assert_int_equal(cluster_swim_health(b.swim), 0);
    bench_close(&b);
}

/* Lets time pass; every probe is answered. When was b warned first, and how often? */
static void run_answered(struct bench *b, int64_t until_us, int64_t *first_us, unsigned *times)
{
    for (;;) {
        char words[40];
        struct span rest = span_text(bench_outputs(b)), line;
        while (rest.len > 0 && span_split(&rest, '\n', &line)) {
            if (span_starts(line, SPAN("b: suspect b 1 a")) && (*times)++ == 0)
                *first_us = b->now_us;
            if (span_contains(line, SPAN("ping"))) {
                snprintf(words, sizeof(words), "ack %u", b->seq_no);
                bench_hear(b, words, 'z');
            }
        }
        int64_t due_us = cluster_swim_deadline_us(b->swim);
        if (due_us > until_us)
            break;
        b->now_us = due_us;
        cluster_swim_tick(b->swim, b->now_us);
    }
    b->now_us = until_us;
}

static void since_when(void **state)
{
    (void)state;
    struct bench b;
    struct cluster_swim_conf conf = bench_conf();
    bench_open(&b, &conf);
    prepare(&b, "alive b 1");
    int64_t joined_us = bench_member(&b, "b")->since_us;
    b.now_us += SECOND;
    bench_hear(&b, "alive b 2", 'b'); /* as alive as before */
    assert_int_equal(bench_member(&b, "b")->since_us, joined_us);
    bench_hear(&b, "suspect b 2 z", 'z');
    assert_int_equal(bench_member(&b, "b")->since_us, joined_us + SECOND);
    bench_close(&b);
}

/* A later suspicion does not put off an earlier one's end. */
static void two_suspects(void **state)
{
    (void)state;
    struct bench b;
    struct cluster_swim_conf conf = bench_conf();
    int64_t first_us;
    unsigned times = 0;
    bench_open(&b, &conf);
    prepare(&b, "alive b 1,alive c 1,alive d 1");
    int64_t from_us = b.now_us;
    bench_hear(&b, "suspect b 1 z", 'z');
    bench_hear(&b, "suspect b 1 c", 'z');
    bench_hear(&b, "suspect b 1 d", 'z');
    run_answered(&b, from_us + 500 * MS, &first_us, &times);
    bench_hear(&b, "suspect c 1 z", 'z');
    run_answered(&b, from_us + 4 * SECOND, &first_us, &times);
    assert_string_equal(bench_view(&b, "b"), "b dead 1");
    assert_string_equal(bench_view(&b, "c"), "c suspect 1");
    assert_int_equal(times, 6);
    bench_close(&b);
}

/* Gossip missed the one who still says so: it is told directly. */
static void old_news_about_this_node_is_answered(void **state)
{
    (void)state;
    for (unsigned lifeguard = 0; lifeguard < 2; lifeguard++) {
        struct bench b;
        struct cluster_swim_conf conf = bench_conf();
        conf.lifeguard = lifeguard;
        bench_open(&b, &conf);
        prepare(&b, "suspect a 3 z");
        (void)bench_outputs(&b);
        bench_hear(&b, "suspect a 3 z", 'x');
        bench_hear(&b, "dead a 2 z", 'y');
        assert_string_equal(bench_outputs(&b), lifeguard ? "x: alive a 4\ny: alive a 4\n" : "");
        assert_string_equal(bench_queued(&b), "");
        assert_int_equal(cluster_swim_counters(b.swim)->refuted, 1);
        cluster_swim_leave(b.swim, b.now_us);
        bench_flush(&b);
        bench_hear(&b, "suspect a 3 z", 'x');
        assert_string_equal(bench_outputs(&b), "");
        bench_close(&b);
    }
}

/* A suspect is told six times before its end, half a probe interval apart. */
static void suspects_are_warned(void **state)
{
    (void)state;
    static const struct {
        const char *why, *others;
        bool lifeguard;
        int64_t confirmed_ms; /* when another accuses it */
        int64_t first_ms, end_ms;
        unsigned times;
    } rows[] = {
        {"nobody can confirm: 4 s", "", true, 0, 1000, 4000, 6},
        {"nobody does: 24 s", "alive c 1", true, 0, 21000, 24000, 6},
        {"one does: 11.381 s", "alive c 1", true, 1000, 8381, 11381, 6},
        {"one does when that is over", "alive c 1", true, 15000, 15000, 18000, 6},
        {"one does among the warnings", "alive c 1", true, 22200, 21000, 24000, 6},
        {"Lifeguard off: at once", "alive c 1", false, 0, 0, 4000, 0},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct bench b;
        struct cluster_swim_conf conf = bench_conf();
        int64_t first_us = 0;
        unsigned times = 0;
        conf.lifeguard = rows[i].lifeguard;
        bench_open(&b, &conf);
        prepare(&b, rows[i].others[0] ? "alive b 1,alive c 1" : "alive b 1");
        int64_t from_us = b.now_us;
        bench_hear(&b, "suspect b 1 z", 'z');
        run_answered(&b, from_us + rows[i].confirmed_ms * MS, &first_us, &times);
        if (rows[i].confirmed_ms > 0)
            bench_hear(&b, "suspect b 1 c", 'c');
        run_answered(&b, from_us + rows[i].end_ms * MS - 1, &first_us, &times);
        if (strcmp(bench_view(&b, "b"), "b suspect 1") != 0)
            fail_msg("%s: %s too early", rows[i].why, bench_view(&b, "b"));
        run_answered(&b, from_us + rows[i].end_ms * MS, &first_us, &times);
        if (strcmp(bench_view(&b, "b"), "b dead 1") != 0)
            fail_msg("%s: %s too late", rows[i].why, bench_view(&b, "b"));
        if (times != rows[i].times ||
            (times > 0 && first_us - from_us != rows[i].first_ms * MS))
            fail_msg("%s: %u times, first after %lld", rows[i].why, times,
                     (long long)(first_us - from_us));
        /* The last three warnings go by stream, too: packets get lost. */
        assert_int_equal(cluster_swim_counters(b.swim)->asked_by_stream, times > 0 ? 3 : 0);
        bench_close(&b);
    }
}

/* In a large cluster more often: there are more suspicions by chance, and more time. */
static void suspects_of_many_are_warned_more_often(void **state)
{
    (void)state;
    static const struct {
        unsigned members, times;
    } rows[] = {{50, 6}, {70, 7}, {400, 10}, {2000, 12}};
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct bench b;
        struct cluster_swim_conf conf = bench_conf();
        int64_t first_us = 0;
        unsigned times = 0;
        char words[40];
        bench_open(&b, &conf);
        prepare(&b, "alive b 1");
        for (unsigned k = 2; k < rows[i].members; k++) {
            (void)snprintf(words, sizeof words, "alive m%u 1", k);
            bench_hear(&b, words, 'z');
        }
        (void)bench_outputs(&b);
        bench_hear(&b, "suspect b 1 z", 'z');
        bench_hear(&b, "suspect b 1 m2", 'z');
        bench_hear(&b, "suspect b 1 m3", 'z');
        while (strcmp(bench_view(&b, "b"), "b suspect 1") == 0)
            run_answered(&b, b.now_us + SECOND / 4, &first_us, &times);
        if (times != rows[i].times)
            fail_msg("%u members: %u times", rows[i].members, times);
        bench_close(&b);
    }
}

static void the_layer_above_may_refuse(void **state)
{
    (void)state;
    struct bench b;
    struct cluster_swim_conf conf = bench_conf();
    bench_open(&b, &conf);
    prepare(&b, "alive b 1");
    b.refuse = true;
    bench_hear(&b, "alive c 1", 'z');
    bench_hear(&b, "alive b 2 meta=x", 'z');
    assert_string_equal(bench_view(&b, "c"), "no c");
    assert_string_equal(bench_view(&b, "b"), "b alive 1");
    assert_int_equal(cluster_swim_counters(b.swim)->dropped_refused, 2);
    assert_string_equal(bench_news(&b), "");
    bench_close(&b);
}

static void names_are_bounded(void **state)
{
    (void)state;
    struct bench b;
    struct cluster_swim_conf conf = bench_conf();
    conf.members_max = 3;
    bench_open(&b, &conf);
    prepare(&b, "alive b 1");
    char words[400];
    char name[200];
    memset(name, 'b', sizeof(name));
    snprintf(words, sizeof(words), "suspect b 1 %.*s", CLUSTER_NAME_MAX + 1, name);
    bench_hear(&b, words, 'z');
    snprintf(words, sizeof(words), "dead b 1 %.*s", CLUSTER_NAME_MAX + 1, name);
    bench_hear(&b, words, 'z');
    snprintf(words, sizeof(words), "alive %.*s 1", CLUSTER_NAME_MAX + 1, name);
    bench_hear(&b, words, 'z');
    bench_hear(&b, "alive  1", 'z');
    assert_string_equal(bench_view(&b, "b"), "b alive 1");
    bench_hear(&b, "alive c 1", 'z'); /* a fourth */
    assert_string_equal(bench_view(&b, "c"), "no c");
    assert_int_equal(cluster_swim_counters(b.swim)->dropped_member, 1);
    assert_int_equal(cluster_members_count(cluster_swim_members(b.swim)), 3);
    bench_close(&b);
}

/* Leaving is no suspicion to be refuted, and what others say afterwards brings nobody back. */
static void leaving(void **state)
{
    (void)state;
    struct bench b;
    struct cluster_swim_conf conf = bench_conf();
    bench_open(&b, &conf);
    prepare(&b, "");
    assert_false(cluster_swim_leave_told(b.swim));
    cluster_swim_leave(b.swim, b.now_us);
    cluster_swim_leave(b.swim, b.now_us);
    assert_string_equal(bench_view(&b, "a"), "a left 1");
    assert_string_equal(bench_news(&b), "<a ");
    assert_string_equal(bench_queued(&b), "dead a 1 a\n");
    assert_false(cluster_swim_leave_told(b.swim));
    bench_hear(&b, "dead a 1 z", 'z');
    bench_hear(&b, "suspect a 9 z", 'z');
    bench_hear(&b, "alive a 9 meta=x", 'z');
    cluster_swim_set_meta(b.swim, SPAN("late"), b.now_us);
    assert_string_equal(bench_view(&b, "a"), "a left 1");
    assert_string_equal(bench_queued(&b), "dead a 1 a\n");
    bench_flush(&b);
    assert_true(cluster_swim_leave_told(b.swim));
    bench_close(&b);
    /* Nobody to tell. */
    bench_open(&b, &conf);
    cluster_swim_leave(b.swim, b.now_us);
    assert_true(cluster_swim_leave_told(b.swim));
    bench_close(&b);
}

static void meta_of_this_node(void **state)
{
    (void)state;
    struct bench b;
    struct cluster_swim_conf conf = bench_conf();
    bench_open(&b, &conf);
    prepare(&b, "");
    cluster_swim_set_meta(b.swim, SPAN("new"), b.now_us);
    assert_string_equal(bench_view(&b, "a"), "a alive 2");
    assert_string_equal(bench_news(&b), "~a ");
    assert_string_equal(bench_queued(&b), "alive a 2 meta=new\n");
    cluster_swim_set_meta(b.swim, SPAN("new"), b.now_us);
    assert_string_equal(bench_news(&b), "");
    assert_string_equal(bench_queued(&b), "alive a 3 meta=new\n");
    bench_close(&b);
}

static void bad_configurations(void **state)
{
    (void)state;
    static char long_name[CLUSTER_NAME_MAX + 1], long_meta[CLUSTER_META_MAX + 1];
    struct cluster_swim_upper upper = {0};
    struct cluster_swim_conf good = bench_conf();
    for (unsigned i = 0; i < 7; i++) {
        struct cluster_swim_conf c = good;
        if (i == 0)
            c.name.len = 0;
        if (i == 1)
            c.name = span_of(long_name, sizeof(long_name));
        if (i == 2)
            c.meta = span_of(long_meta, sizeof(long_meta));
        if (i == 3)
            c.addr.port = 0;
        if (i == 4)
            c.addr.family = ADDR_NONE;
        if (i == 5)
            c.vsn[0] = 0;
        if (i == 6)
            c.profile.gossip_interval_us = 0;
        assert_null(cluster_swim_create(&c, &upper, 0));
    }
    struct cluster_swim *s = cluster_swim_create(&good, &upper, 0);
    assert_non_null(s);
    cluster_swim_destroy(s);
    cluster_swim_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rules),
        cmocka_unit_test(refuting_costs_health),
        cmocka_unit_test(since_when),
        cmocka_unit_test(two_suspects),
        cmocka_unit_test(old_news_about_this_node_is_answered),
        cmocka_unit_test(suspects_are_warned),
        cmocka_unit_test(suspects_of_many_are_warned_more_often),
        cmocka_unit_test(the_layer_above_may_refuse),
        cmocka_unit_test(names_are_bounded),
        cmocka_unit_test(leaving),
        cmocka_unit_test(meta_of_this_node),
        cmocka_unit_test(bad_configurations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
