#include "base/letter.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct note {
    struct letter letter;
    unsigned poster, number;
    struct letter_mailbox *repost;
};

static unsigned opened, last[8], wakes;

static void count_wake(void *loop)
{
    (void)loop;
    wakes++;
}

static void check_order(struct letter *l)
{
    struct note *n = CONTAINER_OF(l, struct note, letter);
    assert_int_equal(n->number, last[n->poster] + 1);
    last[n->poster] = n->number;
    opened++;
    if (n->repost) {
        struct letter_mailbox *m = n->repost;
        n->repost = NULL;
        n->number++;
        letter_post(m, l, check_order);
    }
}

static void start_count(void)
{
    opened = wakes = 0;
    for (size_t i = 0; i < ARRAY_LEN(last); i++)
        last[i] = 0;
}

static void opens_in_order_with_one_wake(void **state)
{
    (void)state;
    struct letter_mailbox m;
    struct note notes[5] = {0};
    start_count();
    letter_mailbox_init(&m, count_wake, NULL);
    assert_int_equal(letter_open_all(&m), 0);
    for (unsigned i = 0; i < 5; i++) {
        notes[i].number = i + 1;
        letter_post(&m, &notes[i].letter, check_order);
    }
    assert_int_equal(wakes, 1);
    notes[4].repost = &m; /* posted again from within: next time, and the loop is woken */
    assert_int_equal(letter_open_all(&m), 5);
    assert_int_equal(wakes, 2);
    assert_int_equal(letter_open_all(&m), 1);
    assert_int_equal(letter_open_all(&m), 0);
    assert_int_equal(last[0], 6);
}

static void a_stack_is_posted_in_order_with_one_wake(void **state)
{
    (void)state;
    struct letter_mailbox m;
    struct note notes[6] = {0};
    struct letter_stack s = {0};
    start_count();
    letter_mailbox_init(&m, count_wake, NULL);
    letter_post_stack(&m, &s); /* nothing: nobody is woken */
    assert_true(wakes == 0 && letter_open_all(&m) == 0);
    for (unsigned i = 0; i < 6; i++)
        notes[i].number = i + 1;
    letter_stack_add(&s, &notes[0].letter, check_order);
    letter_post_stack(&m, &s);
    assert_true(wakes == 1 && letter_open_all(&m) == 1);
    letter_post(&m, &notes[1].letter, check_order); /* behind what is there */
    for (unsigned i = 2; i < 5; i++)
        letter_stack_add(&s, &notes[i].letter, check_order);
    letter_post_stack(&m, &s);
    letter_post(&m, &notes[5].letter, check_order);
    assert_true(!s.newest && !s.oldest);
    assert_int_equal(wakes, 2);
    assert_int_equal(letter_open_all(&m), 5);
    assert_int_equal(last[0], 6);
}

#define POSTERS 4u
#define EACH 20000u
static struct letter_mailbox heavy;
static sem_t heavy_woken;

static void wake_heavy(void *loop)
{
    (void)loop;
    sem_post(&heavy_woken);
}

static void *post_many(void *arg)
{
    struct note *notes = arg;
    for (unsigned i = 0; i < EACH; i++)
        letter_post(&heavy, &notes[i].letter, check_order);
    return NULL;
}

static void many_posters_lose_nothing_and_keep_order(void **state)
{
    (void)state;
    static struct note notes[POSTERS][EACH];
    pthread_t threads[POSTERS];
    start_count();
    assert_int_equal(sem_init(&heavy_woken, 0, 0), 0);
    letter_mailbox_init(&heavy, wake_heavy, NULL);
    for (unsigned p = 0; p < POSTERS; p++) {
        for (unsigned i = 0; i < EACH; i++)
            notes[p][i] = (struct note){.poster = p, .number = i + 1};
        assert_int_equal(pthread_create(&threads[p], NULL, post_many, notes[p]), 0);
    }
    /* Sleeps until woken, as a loop does: a wake that is missed hangs the test. */
    while (opened < POSTERS * EACH) {
        sem_wait(&heavy_woken);
        (void)letter_open_all(&heavy);
    }
    for (unsigned p = 0; p < POSTERS; p++)
        pthread_join(threads[p], NULL);
    assert_int_equal(letter_open_all(&heavy), 0);
    sem_destroy(&heavy_woken);
}

struct job {
    struct letter letter;
    struct letter_mailbox *home;
    atomic_int *done;
    pthread_t ran_in;
    int answer;
};

static void take_home(struct letter *l)
{
    opened += CONTAINER_OF(l, struct job, letter)->answer == 42;
}

static void work(struct letter *l)
{
    struct job *j = CONTAINER_OF(l, struct job, letter);
    j->ran_in = pthread_self();
    atomic_fetch_add(j->done, 1);
    j->answer = 42;
    if (j->home)
        letter_post(j->home, l, take_home);
}

static void bump(void *context)
{
    atomic_fetch_add((atomic_int *)context, 1);
}

static void a_crew_runs_all_before_it_ends(void **state)
{
    (void)state;
    static struct job jobs[2000];
    atomic_int done = 0, begun = 0;
    struct letter_crew *c =
        letter_crew_create(&(struct letter_crew_conf){.name = "test-crew-name-too-long",
                                                      .threads = 3,
                                                      .idle = true,
                                                      .thread_begin = bump,
                                                      .thread_end = bump,
                                                      .context = &begun});
    for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
        jobs[i] = (struct job){.done = &done};
        letter_crew_post(c, &jobs[i].letter, work);
    }
    letter_crew_destroy(c);
    assert_int_equal(done, 2000);
    assert_int_equal(begun, 6);
    assert_false(pthread_equal(jobs[0].ran_in, pthread_self()));
    letter_crew_destroy(NULL);
}

static void work_comes_home(void **state)
{
    (void)state;
    static struct job jobs[2000];
    atomic_int done = 0;
    start_count();
    assert_int_equal(sem_init(&heavy_woken, 0, 0), 0);
    letter_mailbox_init(&heavy, wake_heavy, NULL);
    struct letter_crew *c =
        letter_crew_create(&(struct letter_crew_conf){.name = "home", .threads = 2});
    for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
        jobs[i] = (struct job){.done = &done, .home = &heavy};
        letter_crew_post(c, &jobs[i].letter, work);
    }
    while (opened < ARRAY_LEN(jobs)) {
        sem_wait(&heavy_woken);
        (void)letter_open_all(&heavy);
    }
    letter_crew_destroy(c);
    sem_destroy(&heavy_woken);
}

static void a_crew_without_threads_runs_when_told(void **state)
{
    (void)state;
    struct job jobs[3];
    struct letter *taken[3];
    atomic_int done = 0, begun = 0;
    struct letter_crew *c = letter_crew_create(&(struct letter_crew_conf){
        .thread_begin = bump, .thread_end = bump, .context = &begun});
    assert_int_equal(begun, 1);
    for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
        jobs[i] = (struct job){.done = &done};
        letter_crew_post(c, &jobs[i].letter, work);
    }
    assert_int_equal(done, 0);
    assert_int_equal(letter_crew_take(c, taken, 2), 2);
    assert_ptr_equal(taken[0], &jobs[0].letter);
    assert_ptr_equal(taken[1], &jobs[1].letter);
    assert_int_equal(letter_crew_run_all(c), 1);
    assert_int_equal(letter_crew_take(c, taken, 3), 0);
    letter_crew_post(c, &jobs[0].letter, work);
    letter_crew_destroy(c);
    assert_int_equal(done, 2);
    assert_int_equal(begun, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_in_order_with_one_wake),
        cmocka_unit_test(a_stack_is_posted_in_order_with_one_wake),
        cmocka_unit_test(many_posters_lose_nothing_and_keep_order),
        cmocka_unit_test(a_crew_runs_all_before_it_ends),
        cmocka_unit_test(work_comes_home),
        cmocka_unit_test(a_crew_without_threads_runs_when_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
