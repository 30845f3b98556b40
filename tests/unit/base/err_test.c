#include "base/err.h"

#include <stdlib.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void every_error_has_a_text_of_its_own(void **state)
{
    (void)state;
    for (int i = ERR_OK; i <= ERR_LIB; i++) {
        assert_string_not_equal(err_text((enum err)i), "?");
        for (int j = ERR_OK; j < i; j++)
            assert_string_not_equal(err_text((enum err)i), err_text((enum err)j));
    }
}

static void must_aborts_in_every_build(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        (void)close(STDERR_FILENO);
        must(child == 1);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void must_alloc_gives_zeroed_memory(void **state)
{
    (void)state;
    unsigned char *ptr = must_alloc(1000);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(ptr[i], 0);
    ptr = must_realloc(ptr, 0);
    assert_non_null(ptr);
    free(ptr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_a_text_of_its_own),
        cmocka_unit_test(must_aborts_in_every_build),
        cmocka_unit_test(must_alloc_gives_zeroed_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
