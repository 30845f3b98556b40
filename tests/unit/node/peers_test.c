#include "node/peers_ev.h"

#include "node/front/ask.h"
#include "node/io/link_ev.h"
#include "tests/unit/node/io/fake_node.h"

/* Sends go to a fake node; asks come from a front in the same loop. */
static struct fixture_loop f;
static struct fake_node other;
static struct node_peers *peers;
static struct front front;
static unsigned waiting;

static struct {
    unsigned count;
    enum err result;
    size_t bytes;
} answers[4096];
static struct {
    unsigned count;
    uint64_t number;
    char from[80];
    size_t bytes;
} asked;
static unsigned came_home;
static unsigned home_status[4096];
static size_t home_bytes;

static void on_answered(void *user, uint64_t number, enum err result, struct span body)
{
    assert_ptr_equal(user, &answers);
    assert_true(number < ARRAY_LEN(answers));
    answers[number].count++;
    answers[number].result = result;
    answers[number].bytes = body.len;
    if (--waiting == 0)
        io_loop_stop(f.loop);
}

static void on_asked(void *user, struct span from, uint64_t number, struct span body)
{
    assert_ptr_equal(user, &answers);
    asked.count++;
    asked.number = number;
    asked.bytes = body.len;
    assert_int_equal(span_copy(from, asked.from, sizeof asked.from), ERR_OK);
    io_loop_stop(f.loop);
}

static const struct node_peers_functions functions = {on_answered, on_asked};

static void at_control(void *node, struct front_ask *a)
{
    assert_ptr_equal(node, &front);
    node_peers_asked(peers, a);
}

static struct front_desk desk;

static struct io_tls_context *client_tls(uint8_t secret)
{
    struct io_secrets *secrets = secrets_of(secret);
    struct io_tls_context *tls = io_tls_peer_client_create(secrets, "node-a");
    io_secrets_drop(secrets);
    return tls;
}

static int setup(void **state)
{
    (void)state;
    fixture_loop_init(&f);
    fake_node_start(&other, f.loop, "node-b", 7);
    struct io_tls_context *tls = client_tls(7);
    peers = node_peers_open(&(struct node_peers_conf){
        .loop = f.loop, .tls = tls, .functions = &functions, .user = &answers});
    io_tls_context_drop(tls);
    desk = (struct front_desk){&f.loop->mailbox, at_control, &front};
    front = (struct front){.loop = f.loop, .desk = &desk};
    memset(answers, 0, sizeof answers);
    memset(&asked, 0, sizeof asked);
    waiting = came_home = 0;
    return 0;
}

static void stop_loop(struct io_timer *t)
{
    io_loop_stop(t->loop);
}

static void pass(int64_t ms)
{
    struct io_timer t;
    io_timer_init(&t, f.loop, stop_loop);
    io_timer_set(&t, f.loop->now_ms + ms);
    fixture_loop_run(&f);
    io_timer_stop(&t);
}

static int teardown(void **state)
{
    (void)state;
    node_peers_close(peers);
    pass(1);
    fake_node_stop(&other);
    fixture_loop_fini(&f);
    return 0;
}

static bool say(const char *id, uint64_t number, size_t bytes, uint32_t deadline_ms)
{
    char *body = calloc(1, bytes + 1);
    bool sent = node_peers_send(peers, span_text(id), &other.address, number,
                                span_of(body, bytes), deadline_ms);
    free(body);
    assert_int_equal(answers[number].count, 0); /* nothing from inside */
    waiting += sent;
    return sent;
}

static void test_sends(void **state)
{
    (void)state;
    static const struct {
        enum fake_mood mood;
        size_t bytes;
        enum err result;
        size_t answer;
    } rows[] = {
        {FAKE_ECHO, 100, ERR_OK, 100},      {FAKE_ECHO, 3 << 20, ERR_OK, 3 << 20},
        {FAKE_REFUSE, 100, ERR_REFUSED, 0}, {FAKE_SILENT, 100, ERR_TIMEOUT, 0},
        {FAKE_FLOOD, 100, ERR_LIMIT, 0},    {FAKE_CLOSE, 100, ERR_CLOSED, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        other.mood = rows[i].mood;
        assert_true(
            say("node-b", i, rows[i].bytes, rows[i].result == ERR_TIMEOUT ? 200 : 20000));
        fixture_loop_run(&f);
        if (answers[i].result != rows[i].result)
            fail_msg("row %zu: %s", i, err_text(answers[i].result));
        assert_int_equal(answers[i].count, 1);
        assert_int_equal(answers[i].bytes, rows[i].answer);
    }
    struct node_peers_figures figures;
    node_peers_figures(peers, &figures);
    assert_int_equal(figures.sends_open, 0);
    assert_string_equal(other.last_peer, "node-a");
}

static void test_who_is_not_meant(void **state)
{
    (void)state;
    assert_true(say("node-c", 0, 10, 5000)); /* node-b answers there */
    fixture_loop_run(&f);
    assert_int_equal(answers[0].result, ERR_CLOSED);
    struct io_tls_context *tls = client_tls(8);
    node_peers_set_tls(peers, tls);
    io_tls_context_drop(tls);
    assert_true(say("node-b", 1, 10, 5000));
    fixture_loop_run(&f);
    assert_int_equal(answers[1].result, ERR_CLOSED);
    tls = client_tls(7);
    node_peers_set_tls(peers, tls);
    io_tls_context_drop(tls);
    other.mood = FAKE_ECHO;
    assert_true(say("node-b", 2, 10, 5000));
    fixture_loop_run(&f);
    assert_int_equal(answers[2].result, ERR_OK);
    node_peers_set_tls(peers, NULL);
    assert_false(say("node-b", 3, 10, 5000));
}

static void test_bounds_of_sends(void **state)
{
    (void)state;
    other.mood = FAKE_SILENT;
    assert_false(say("node-b", 0, 0, 1000));
    assert_false(say("node-b", 0, NODE_PEERS_BODY_MAX + 1, 1000));
    assert_false(say("", 0, 10, 1000));
    for (unsigned i = 0; i < NODE_PEERS_SENDS; i++)
        assert_true(say("node-b", i, 10, 300));
    assert_false(say("node-b", 100, 10, 300));
    assert_true(say("node-c", 101, 10, 300)); /* another one's are its own */
    fixture_loop_run(&f);
    for (unsigned i = 0; i < NODE_PEERS_SENDS; i++)
        assert_int_equal(answers[i].result, ERR_TIMEOUT);
    other.mood = FAKE_ECHO;
    assert_true(say("node-b", 200, 10, 5000));
    fixture_loop_run(&f);
    assert_int_equal(answers[200].result, ERR_OK);
}

/* The other side closed the kept connection: the next send does not suffer from it. */
static void test_kept_connection_that_went(void **state)
{
    (void)state;
    other.mood = FAKE_ECHO;
    assert_true(say("node-b", 0, 10, 5000));
    fixture_loop_run(&f);
    other.mood = FAKE_CLOSE_OLD;
    assert_true(say("node-b", 1, 10, 5000));
    fixture_loop_run(&f);
    assert_int_equal(answers[1].result, ERR_OK);
    assert_int_equal(other.accepted, 2);
}

static void test_closed_with_open_sends(void **state)
{
    (void)state;
    other.mood = FAKE_SILENT;
    for (unsigned i = 0; i < 10; i++)
        assert_true(say("node-b", i, 10, 5000));
    pass(50);
    node_peers_close(peers);
    peers = NULL;
    pass(50);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(answers[i].count, 0);
    assert_false(say("node-b", 20, 10, 5000));
    node_peers_answer(NULL, 1, SPAN("x"));
}

/* --- asks --- */

static void on_home(void *user, struct front_ask *a)
{
    (void)user;
    home_status[came_home++] = a->answer.status;
    home_bytes = a->answer.body.len;
    front_ask_destroy(a);
    io_loop_stop(f.loop);
}

static void ask(const char *path, const char *from, size_t bytes)
{
    char *body = calloc(1, bytes + 1);
    struct http_request r = {.method = HTTP_POST,
                             .version = HTTP_2,
                             .method_text = SPAN("POST"),
                             .scheme = SPAN("https"),
                             .authority = SPAN("node-a"),
                             .target = span_text(path),
                             .body_bytes = (int64_t)bytes};
    const struct front_ask_what what = {
        .request = &r, .body = span_of(body, bytes), .node_id = from};
    assert_non_null(front_ask_send(&front, &what, on_home, &asked));
    free(body);
}

static void run_until_home(unsigned count)
{
    while (came_home < count)
        fixture_loop_run(&f);
}

static void test_asked(void **state)
{
    (void)state;
    ask(NODE_PEERS_PATH, "node-b", 1000);
    while (asked.count == 0)
        fixture_loop_run(&f);
    assert_string_equal(asked.from, "node-b");
    assert_int_equal(asked.bytes, 1000);
    node_peers_answer(peers, asked.number + 1, SPAN("who?")); /* no such number */
    node_peers_answer(peers, asked.number, SPAN("so it is"));
    run_until_home(1);
    assert_int_equal(home_status[0], 200);
    assert_int_equal(home_bytes, 8);
    node_peers_answer(peers, asked.number, SPAN("again")); /* nobody waits any more */
    ask("/.perigee/other", "node-b", 1);
    run_until_home(2);
    assert_int_equal(home_status[1], 404);
    assert_int_equal(asked.count, 1);
}

static void test_bounds_of_asks(void **state)
{
    (void)state;
    for (unsigned i = 0; i < NODE_PEERS_ASKS; i++)
        ask(NODE_PEERS_PATH, "node-b", 10);
    while (asked.count < NODE_PEERS_ASKS)
        fixture_loop_run(&f);
    ask(NODE_PEERS_PATH, "node-b", 10);
    run_until_home(1);
    assert_int_equal(home_status[0], 429);
    ask(NODE_PEERS_PATH, "node-c", 10); /* is another one */
    while (asked.count < NODE_PEERS_ASKS + 1)
        fixture_loop_run(&f);
    /* What waits is told when this node ends, and so is who comes after. */
    node_peers_close(peers);
    peers = NULL;
    run_until_home(2 + NODE_PEERS_ASKS);
    ask(NODE_PEERS_PATH, "node-b", 10);
    run_until_home(3 + NODE_PEERS_ASKS);
    for (unsigned i = 1; i < came_home; i++)
        assert_int_equal(home_status[i], 503);
}

static void test_bytes_of_asks(void **state)
{
    (void)state;
    unsigned fit = (unsigned)(NODE_PEERS_ASK_BYTES / NODE_PEERS_BODY_MAX);
    for (unsigned i = 0; i < fit; i++)
        ask(NODE_PEERS_PATH, "node-b", NODE_PEERS_BODY_MAX);
    ask(NODE_PEERS_PATH, "node-b", 1);
    run_until_home(1);
    assert_int_equal(home_status[0], 429);
    assert_int_equal(asked.count, fit);
    node_peers_close(peers);
    peers = NULL;
    run_until_home(1 + fit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_is_not_meant, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounds_of_sends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kept_connection_that_went, setup, teardown),
        cmocka_unit_test_setup_teardown(test_closed_with_open_sends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounds_of_asks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bytes_of_asks, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
