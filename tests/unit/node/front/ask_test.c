#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/front/ask.h"

/* Two mailboxes, as a worker and control have them, opened by hand; a turn ends when told. */
static struct letter_mailbox control;
static struct io_loop loop;
static struct front front;
static atomic_uint wakes; /* of both, from any thread */
static unsigned handled, home;
static struct front_ask *at_control, *came_home;

static struct io_task *soon;

void io_loop_soon(struct io_loop *l, struct io_task *t, void (*run)(struct io_task *t))
{
    assert_ptr_equal(l, &loop);
    t->run = run;
    soon = t;
}

static void end_turn(void)
{
    struct io_task *t = soon;
    soon = NULL;
    if (t)
        t->run(t);
}

static struct setup setup;
static int setups_held; /* by asks */

struct setup *setup_hold(struct setup *s)
{
    assert_ptr_equal(s, &setup);
    setups_held++;
    return s;
}

void setup_drop(struct setup *s)
{
    if (s)
        setups_held--;
}

static void count_wake(void *user)
{
    (void)user;
    wakes++;
}

static void handle(void *node, struct front_ask *a)
{
    assert_ptr_equal(node, &control);
    handled++;
    at_control = a;
}

static const struct front_desk desk = {.mailbox = &control, .handle = handle, .node = &control};
static int asker; /* somebody to bring the answer to */

static void answered(void *user, struct front_ask *a)
{
    assert_ptr_equal(user, &asker);
    home++;
    came_home = a;
}

static int begin(void **state)
{
    (void)state;
    wakes = handled = home = 0;
    setups_held = 0;
    at_control = came_home = NULL;
    loop = (struct io_loop){0};
    soon = NULL;
    front = (struct front){.loop = &loop, .desk = &desk};
    letter_mailbox_init(&control, count_wake, NULL);
    letter_mailbox_init(&loop.mailbox, count_wake, NULL);
    return 0;
}

static struct http_field fields[] = {
    {{"content-type", 12}, {"application/json", 16}, HTTP_NAME_CONTENT_TYPE},
    {{"x-own", 5}, {"", 0}, HTTP_NAME_OTHER},
};

static struct front_ask *send_in_turn(struct span body)
{
    static struct http_request request;
    request = (struct http_request){.method = HTTP_POST,
                                    .version = HTTP_1_1,
                                    .method_text = SPAN("POST"),
                                    .scheme = SPAN("https"),
                                    .authority = SPAN("a.example"),
                                    .target = SPAN("/v1/purge?x"),
                                    .fields = {.at = fields, .count = 2, .room = 2},
                                    .body_bytes = 3,
                                    .keep_alive = true};
    struct front_ask_what what = {.request = &request,
                                  .body = body,
                                  .client = {.family = ADDR_V4, .ip = {192, 0, 2, 1}},
                                  .local = true,
                                  .is_purge = true,
                                  .may_purge = true,
                                  .url = SPAN("https://a.example/x"),
                                  .setup = &setup};
    return front_ask_send(&front, &what, answered, &asker);
}

static struct front_ask *send_one(struct span body)
{
    struct front_ask *a = send_in_turn(body);
    end_turn();
    return a;
}

static void control_answers(struct span body)
{
    struct http_field retry = {SPAN("retry-after"), SPAN("7"), HTTP_NAME_RETRY_AFTER};
    struct admin_answer answer = {.status = 202,
                                  .content_type = SPAN("application/json"),
                                  .fields = {.at = &retry, .count = 1, .room = 1},
                                  .body = body};
    front_ask_answer(at_control, &answer);
}

#define assert_span(got, want) assert_true(span_equal(got, SPAN(want)))

static void there_and_back(void **state)
{
    (void)state;
    char body[] = "{ }", name[] = "content-type", answer[] = "{\"id\":1}";
    fields[0].name.ptr = name;
    struct front_ask *a = send_one(span_of(body, 3));
    assert_non_null(a);
    memset(body, 'x', 3); /* copies travel */
    memset(name, 'x', 12);
    fields[0].name.ptr = "content-type";
    assert_int_equal(front.asks_out, 1);
    assert_int_equal(setups_held, 1);
    assert_int_equal(handled, 0); /* not from inside */
    assert_int_equal(wakes, 1);
    assert_int_equal(letter_open_all(&control), 1);
    assert_ptr_equal(at_control, a);

    assert_int_equal(a->request.method, HTTP_POST);
    assert_int_equal(a->request.version, HTTP_1_1);
    assert_int_equal(a->request.body_bytes, 3);
    assert_true(a->request.keep_alive);
    assert_span(a->request.method_text, "POST");
    assert_span(a->request.scheme, "https");
    assert_span(a->request.authority, "a.example");
    assert_span(a->request.target, "/v1/purge?x");
    assert_int_equal(a->request.fields.count, 2);
    assert_span(a->request.fields.at[0].name, "content-type");
    assert_span(http_fields_find(&a->request.fields, HTTP_NAME_CONTENT_TYPE)->value,
                "application/json");
    assert_span(http_fields_find_text(&a->request.fields, SPAN("x-own"))->value, "");
    assert_span(a->body, "{ }");
    assert_span(a->url, "https://a.example/x");
    assert_true(a->local && a->is_purge && a->may_purge && !a->site);
    assert_int_equal(a->client.ip[0], 192);
    assert_ptr_equal(a->setup, &setup);

    control_answers(span_of(answer, sizeof(answer) - 1));
    memset(answer, 'x', sizeof(answer));
    assert_int_equal(front.asks_out, 1); /* on its way */
    assert_int_equal(home, 0);
    assert_int_equal(letter_open_all(&loop.mailbox), 1);
    assert_int_equal(front.asks_out, 0);
    assert_int_equal(home, 1);
    assert_ptr_equal(came_home, a);
    assert_int_equal(a->answer.status, 202);
    assert_span(a->answer.content_type, "application/json");
    assert_span(a->answer.body, "{\"id\":1}");
    assert_span(http_fields_find(&a->answer.fields, HTTP_NAME_RETRY_AFTER)->value, "7");
    assert_span(a->request.target, "/v1/purge?x"); /* still there */
    assert_int_equal(setups_held, 1);
    front_ask_destroy(a);
    assert_int_equal(setups_held, 0);
}

static void forgotten_before_control_saw_it(void **state)
{
    (void)state;
    front_ask_forget(send_one(SPAN("")));
    assert_int_equal(letter_open_all(&control), 1);
    assert_int_equal(handled, 1); /* a purge is done whether or not somebody waits for it */
    control_answers(SPAN("gone"));
    assert_int_equal(front.asks_out, 1);
    assert_int_equal(letter_open_all(&loop.mailbox), 1);
    assert_int_equal(home, 0);
    assert_int_equal(front.asks_out, 0);
    assert_int_equal(setups_held, 0); /* freed; ASan would see it if not */
}

static void forgotten_on_its_way_home(void **state)
{
    (void)state;
    struct front_ask *a = send_one(SPAN(""));
    assert_int_equal(letter_open_all(&control), 1);
    control_answers(SPAN("gone"));
    front_ask_forget(a);
    assert_int_equal(letter_open_all(&loop.mailbox), 1);
    assert_int_equal(home, 0);
    assert_int_equal(front.asks_out, 0);
    assert_int_equal(setups_held, 0);
}

static void without_a_setup(void **state)
{
    (void)state;
    struct http_request request = {.method = HTTP_GET, .target = SPAN("/metrics")};
    struct front_ask_what what = {.request = &request};
    struct front_ask *a = front_ask_send(&front, &what, answered, &asker);
    assert_non_null(a);
    end_turn();
    assert_int_equal(letter_open_all(&control), 1);
    assert_int_equal(a->request.fields.count, 0);
    assert_int_equal(a->body.len, 0);
    assert_null(a->setup);
    front_ask_answer(a, &(struct admin_answer){.status = 204});
    assert_int_equal(letter_open_all(&loop.mailbox), 1);
    assert_int_equal(a->answer.status, 204);
    assert_int_equal(a->answer.fields.count, 0);
    front_ask_destroy(a);
    front_ask_destroy(NULL);
}

static void a_request_over_the_limit_is_not_sent(void **state)
{
    (void)state;
    char *body = calloc(1, FRONT_ASK_BYTES);
    assert_non_null(body);
    assert_null(send_one(span_of(body, FRONT_ASK_BYTES)));
    assert_int_equal(front.asks_out, 0);
    assert_int_equal(setups_held, 0);
    assert_int_equal(letter_open_all(&control), 0);
    free(body);
}

static void the_largest_body_and_an_answer_as_large(void **state)
{
    (void)state;
    size_t bytes = FRONT_ASK_BYTES - 16384;
    char *body = malloc(bytes);
    assert_non_null(body);
    memset(body, 'b', bytes);
    struct front_ask *a = send_one(span_of(body, bytes));
    assert_non_null(a);
    assert_int_equal(letter_open_all(&control), 1);
    control_answers(span_of(body, bytes)); /* the request does not take its room */
    assert_int_equal(letter_open_all(&loop.mailbox), 1);
    assert_int_equal(a->answer.status, 202);
    assert_true(span_equal(a->answer.body, span_of(body, bytes)));
    front_ask_destroy(a);
    free(body);
}

static void an_answer_over_the_limit_becomes_a_bare_500(void **state)
{
    (void)state;
    size_t bytes = FRONT_ASK_BYTES + 1;
    char *body = calloc(1, bytes);
    assert_non_null(body);
    struct front_ask *a = send_one(SPAN(""));
    assert_int_equal(letter_open_all(&control), 1);
    control_answers(span_of(body, bytes));
    assert_int_equal(letter_open_all(&loop.mailbox), 1);
    assert_int_equal(a->answer.status, 500);
    assert_int_equal(a->answer.content_type.len, 0);
    assert_int_equal(a->answer.fields.count, 0);
    assert_int_equal(a->answer.body.len, 0);
    front_ask_destroy(a);
    free(body);
}

static void many_are_answered_in_any_order(void **state)
{
    (void)state;
    struct front_ask *asks[8];
    for (size_t i = 0; i < ARRAY_LEN(asks); i++)
        asks[i] = send_one(SPAN("x"));
    assert_int_equal(wakes, 1);
    assert_int_equal(front.asks_out, 8);
    assert_int_equal(letter_open_all(&control), 8);
    for (size_t i = ARRAY_LEN(asks); i-- > 0;) {
        at_control = asks[i];
        control_answers(SPAN("y"));
    }
    front_ask_forget(asks[3]);
    assert_int_equal(letter_open_all(&loop.mailbox), 8);
    assert_int_equal(home, 7);
    assert_int_equal(front.asks_out, 0);
    for (size_t i = 0; i < ARRAY_LEN(asks); i++) {
        if (i != 3)
            front_ask_destroy(asks[i]);
    }
    assert_int_equal(setups_held, 0);
}

static void a_turn_wakes_control_once(void **state)
{
    (void)state;
    struct front_ask *asks[3];
    for (unsigned i = 0; i < 3; i++) {
        asks[i] = send_in_turn(SPAN("x"));
        assert_non_null(asks[i]);
    }
    assert_int_equal(front.asks_out, 3);
    assert_int_equal(wakes, 0);
    front_ask_forget(asks[1]); /* its client goes before the turn ends */
    end_turn();
    assert_int_equal(wakes, 1);
    assert_int_equal(letter_open_all(&control), 3);
    assert_int_equal(handled, 3);
    end_turn(); /* nothing is left to send */
    assert_int_equal(letter_open_all(&control), 0);
    for (unsigned i = 0; i < 3; i++) {
        at_control = asks[i];
        control_answers(SPAN("{}"));
    }
    assert_int_equal(letter_open_all(&loop.mailbox), 3);
    assert_int_equal(home, 2);
    front_ask_destroy(asks[0]);
    front_ask_destroy(asks[2]);
    assert_int_equal(front.asks_out, 0);
}

/* Control in a thread of its own that spins over its mailbox: for ThreadSanitizer, and to see
 * that asks that are forgotten at any moment come home and are freed. */
#define ROUNDS 3000u

static void *be_control(void *arg)
{
    (void)arg;
    for (unsigned done = 0; done < ROUNDS;) {
        if (letter_open_all(&control) == 0) {
            sched_yield();
            continue;
        }
        control_answers(SPAN("{}"));
        done++;
    }
    return NULL;
}

static void forgotten_at_any_moment(void **state)
{
    (void)state;
    pthread_t thread;
    unsigned forgotten = 0;
    assert_int_equal(pthread_create(&thread, NULL, be_control, NULL), 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct front_ask *a = send_one(SPAN("x"));
        assert_non_null(a);
        for (unsigned spins = i % 50; spins > 0; spins--)
            sched_yield();
        if (i % 3 == 0) {
            front_ask_forget(a);
            forgotten++;
        }
        while (front.asks_out) {
            if (letter_open_all(&loop.mailbox) == 0)
                sched_yield();
        }
        if (i % 3)
            front_ask_destroy(a);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(home + forgotten, ROUNDS);
    assert_int_equal(setups_held, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(there_and_back, begin),
        cmocka_unit_test_setup(forgotten_before_control_saw_it, begin),
        cmocka_unit_test_setup(forgotten_on_its_way_home, begin),
        cmocka_unit_test_setup(without_a_setup, begin),
        cmocka_unit_test_setup(a_request_over_the_limit_is_not_sent, begin),
        cmocka_unit_test_setup(the_largest_body_and_an_answer_as_large, begin),
        cmocka_unit_test_setup(an_answer_over_the_limit_becomes_a_bare_500, begin),
        cmocka_unit_test_setup(many_are_answered_in_any_order, begin),
        cmocka_unit_test_setup(a_turn_wakes_control_once, begin),
        cmocka_unit_test_setup(forgotten_at_any_moment, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
