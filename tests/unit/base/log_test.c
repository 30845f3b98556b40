#include "base/log.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static FILE *file;
static char text[70000];

/* stderr goes to a file for the tests that call this; what was there comes back with read_all.
 */
static int redirect(void)
{
    int saved = dup(STDERR_FILENO);
    file = tmpfile();
    assert_non_null(file);
    assert_true(saved >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
    return saved;
}

static struct span read_all(int saved)
{
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    (void)close(saved);
    rewind(file);
    size_t len = fread(text, 1, sizeof(text), file);
    (void)fclose(file);
    return span_of(text, len);
}

static void one_line_each(void **state)
{
    (void)state;
    int saved = redirect();
    log_line(LOG_DEBUG, "hidden", "%d", 1);
    log_line(LOG_INFO, "ready", "http=%s workers=%d", ":8080", 2);
    log_line(LOG_WARN, "bare", "%s", "");
    log_line(LOG_ERROR, "bad", "path=%s", "a\nevent=fake");
    log_line(LOG_INFO, "long", "x=%08000d", 1);
    log_set_level(LOG_ERROR);
    log_line(LOG_INFO, "hidden", "%d", 1);
    log_set_level(LOG_INFO);
    struct span rest = read_all(saved), line;
    assert_true(span_split(&rest, '\n', &line));
    /* 2026-01-02T03:04:05.678Z */
    assert_true(line.ptr[10] == 'T' && line.ptr[19] == '.' && line.ptr[23] == 'Z');
    assert_true(
        span_equal(span_from(line, 24), SPAN(" info event=ready http=:8080 workers=2")));
    assert_true(span_split(&rest, '\n', &line));
    assert_true(span_equal(span_from(line, 24), SPAN(" warn event=bare ")));
    assert_true(span_split(&rest, '\n', &line));
    assert_true(span_equal(span_from(line, 24), SPAN(" error event=bad path=a?event=fake")));
    assert_true(span_split(&rest, '\n', &line));
    assert_int_equal(line.len, 4095);
    assert_true(span_split(&rest, '\n', &line));
    assert_int_equal(line.len, 0);
    assert_false(span_split(&rest, '\n', &line));
}

static struct log_limit limit;

static void *log_ten(void *arg)
{
    for (int i = 0; i < 10; i++)
        log_limited(&limit, 3, LOG_WARN, "flood", "n=%d", i);
    return arg;
}

static void a_flood_is_held_back_and_told(void **state)
{
    (void)state;
    int saved = redirect();
    (void)log_ten(NULL);
    limit.minute--; /* a minute later */
    (void)log_ten(NULL);
    struct span all = read_all(saved);
    unsigned lines = 0;
    struct span rest = all, line;
    while (span_split(&rest, '\n', &line) && line.len) {
        /* The clock's minute may turn in between, which lets three more through. */
        assert_true(lines < 3 || lines > 5 || span_contains(line, SPAN("n=")));
        lines++;
    }
    assert_true(lines == 6 || lines == 9);
    assert_true(span_contains(all, SPAN("suppressed=")));
    if (lines == 6)
        assert_true(span_contains(all, SPAN("n=0 suppressed=7\n")));
}

static void a_flood_from_threads(void **state)
{
    (void)state;
    int saved = redirect();
    pthread_t threads[4];
    limit = (struct log_limit){0};
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_ten, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    (void)read_all(saved);
    assert_in_range(limit.suppressed, 20, 37);
}

static void quotes(void **state)
{
    (void)state;
    char out[32];
    assert_string_equal(log_quote(SPAN("a b"), out, sizeof(out)), "\"a b\"");
    assert_string_equal(log_quote(SPAN("\"\\\n\r\t\1\x7f"), out, sizeof(out)),
                        "\"\\\"\\\\\\n\\r\\t\\x01\\x7f\"");
    assert_string_equal(log_quote(span_of(NULL, 0), out, 3), "\"\"");
    assert_string_equal(log_quote(SPAN("abcdef"), out, 6), "\"abc\"");
    assert_string_equal(log_quote(SPAN("ab\ncd"), out, 6), "\"ab\""); /* no half escape */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_line_each),
        cmocka_unit_test(a_flood_is_held_back_and_told),
        cmocka_unit_test(a_flood_from_threads),
        cmocka_unit_test(quotes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
