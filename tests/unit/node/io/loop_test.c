#include "node/io/loop_ev.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "node/io/listen_ev.h"
#include "tests/unit/node/io/fixture.h"

static struct io_loop *loop;
static int opened[8], opened_count;

struct numbered {
    struct letter letter;
    struct io_task task;
    int number;
    struct letter *then;
};

static void open_letter(struct letter *l)
{
    struct numbered *n = CONTAINER_OF(l, struct numbered, letter);
    opened[opened_count++] = n->number;
    if (n->then)
        letter_post(&loop->mailbox, n->then, open_letter);
    else
        io_loop_stop(loop);
}

static void *post_from_thread(void *l)
{
    letter_post(&loop->mailbox, l, open_letter);
    return NULL;
}

/* A letter from another thread wakes a loop that sleeps; what it posts itself is opened too. */
static void test_letters(void **state)
{
    (void)state;
    struct fixture_loop f;
    fixture_loop_init(&f);
    loop = f.loop;
    opened_count = 0;
    struct numbered own = {.number = 2}, first = {.number = 1, .then = &own.letter};
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, post_from_thread, &first.letter), 0);
    fixture_loop_run(&f);
    pthread_join(t, NULL);
    assert_int_equal(opened_count, 2);
    assert_int_equal(opened[0], 1);
    assert_int_equal(opened[1], 2);
    fixture_loop_fini(&f);
}

static void on_accepted(void *user, int fd, const struct addr *peer)
{
    (void)user, (void)peer;
    close(fd);
    opened[opened_count++] = 5;
    io_loop_stop(loop);
}

static void open_next(struct letter *l)
{
    struct numbered *n = CONTAINER_OF(l, struct numbered, letter);
    if (n->then)
        letter_post(&loop->mailbox, n->then, open_next);
    else
        opened[opened_count++] = n->number;
}

/* One letter more than are opened in a turn before it sleeps: it comes before the connection
 * that was there already. */
static void test_letters_before_events(void **state)
{
    (void)state;
    struct fixture_loop f;
    struct numbered chain[17] = {0};
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sa;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(listen(listener, 8), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&sa, &len), 0);
    assert_int_equal(connect(client, (struct sockaddr *)&sa, len), 0);
    fixture_loop_init(&f);
    loop = f.loop;
    opened_count = 0;
    struct io_listener *l = io_listen_start(f.loop, listener, on_accepted, NULL);
    for (size_t i = 0; i + 1 < ARRAY_LEN(chain); i++)
        chain[i].then = &chain[i + 1].letter;
    chain[ARRAY_LEN(chain) - 1].number = 4;
    letter_post(&loop->mailbox, &chain[0].letter, open_next);
    fixture_loop_run(&f);
    assert_int_equal(opened_count, 2);
    assert_int_equal(opened[0], 4);
    assert_int_equal(opened[1], 5);
    io_listen_stop(l);
    fixture_loop_fini(&f);
    close(listener);
    close(client);
}

static int turns;
static struct io_timer tick;
static int64_t tick_due_ms;

static void on_tick(struct io_timer *t)
{
    assert_true(t->loop->now_ms >= tick_due_ms);
    opened[opened_count++] = 9;
    io_loop_stop(t->loop);
}

/* Moved later while armed, then earlier: fires once, at the last instant set, never early. */
static void test_timer_moves(void **state)
{
    (void)state;
    struct fixture_loop f;
    fixture_loop_init(&f);
    opened_count = 0;
    io_timer_init(&tick, f.loop, on_tick);
    io_timer_set(&tick, f.loop->now_ms + 5);
    io_timer_set(&tick, f.loop->now_ms + 500);
    tick_due_ms = f.loop->now_ms + 40;
    io_timer_set(&tick, tick_due_ms);
    fixture_loop_run(&f);
    assert_int_equal(opened_count, 1);
    assert_true(f.loop->now_ms < tick_due_ms + 400);
    io_timer_set(&tick, f.loop->now_ms + 1);
    io_timer_set(&tick, 0); /* off, but still armed */
    io_timer_stop(&tick);
    assert_int_equal(f.loop->date[28], 'T');
    fixture_loop_fini(&f);
}

static void run_later(struct io_task *t)
{
    opened[opened_count++] = 3;
    (void)t;
    io_loop_stop(loop);
}

static void run_soon(struct io_task *t)
{
    struct numbered *n = CONTAINER_OF(t, struct numbered, task);
    opened[opened_count++] = n->number;
    if (++turns == 1)
        io_loop_later(loop, t, run_later);
}

static void run_never(struct io_task *t)
{
    (void)t;
    fail();
}

/* Tasks run in order before the loop sleeps; a cancelled one never; later = another turn. */
static void test_tasks(void **state)
{
    (void)state;
    struct fixture_loop f;
    fixture_loop_init(&f);
    loop = f.loop;
    opened_count = turns = 0;
    struct numbered a = {.number = 1}, b = {.number = 2}, c = {0};
    io_loop_soon(loop, &a.task, run_soon);
    io_loop_soon(loop, &c.task, run_never);
    io_loop_soon(loop, &b.task, run_soon);
    io_loop_soon(loop, &a.task, run_never); /* queued already */
    io_task_cancel(&c.task);
    io_task_cancel(&c.task);
    fixture_loop_run(&f);
    assert_int_equal(opened_count, 3);
    assert_int_equal(opened[0], 1);
    assert_int_equal(opened[1], 2);
    assert_int_equal(opened[2], 3);
    fixture_loop_fini(&f);
}

static void *stop_from_thread(void *l)
{
    io_loop_stop(l);
    return NULL;
}

static void test_stop_from_thread(void **state)
{
    (void)state;
    struct fixture_loop f;
    fixture_loop_init(&f);
    for (int i = 0; i < 2; i++) { /* a loop may run again */
        pthread_t t;
        assert_int_equal(pthread_create(&t, NULL, stop_from_thread, f.loop), 0);
        fixture_loop_run(&f);
        pthread_join(t, NULL);
    }
    fixture_loop_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_letters),          cmocka_unit_test(test_letters_before_events),
        cmocka_unit_test(test_timer_moves),      cmocka_unit_test(test_tasks),
        cmocka_unit_test(test_stop_from_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
