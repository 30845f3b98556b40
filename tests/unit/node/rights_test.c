#include "node/rights.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static void test_connections(void **state)
{
    static const struct {
        const char *why;
        uint32_t configured;
        uint64_t files;
        uint32_t workers, each;
    } rows[] = {
        {"shared by the workers", 1000, 1000000, 4, 250},
        {"a rest is not given out", 1003, 1000000, 4, 250},
        {"an origin's connection each", 100000, NODE_RIGHTS_FILES_KEPT + 20000, 2, 5000},
        {"just allowed", 10000, NODE_RIGHTS_FILES_KEPT + 20000, 2, 5000},
        {"more workers than connections", 3, 1000000, 8, 1},
        {"as many", 8, 1000000, 8, 1},
        {"hardly any files", 100000, 64, 2, 1},
        {"none to spare", 100000, NODE_RIGHTS_FILES_KEPT, 2, 1},
        {"no limit at all", UINT32_MAX, UINT64_MAX, 1, UINT32_MAX},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint32_t each =
            node_rights_connections(rows[i].configured, rows[i].files, rows[i].workers);
        if (each != rows[i].each)
            fail_msg("%s: %u instead of %u", rows[i].why, each, rows[i].each);
    }
}

static void test_workers(void **state)
{
    (void)state;
    assert_int_equal(node_rights_workers(3, 64), 3);
    assert_int_equal(node_rights_workers(0, 64), 64);
    assert_int_equal(node_rights_workers(0, 1000), 256);
    assert_int_equal(node_rights_workers(0, 0), 1);
    assert_true(node_rights_cpus() >= 1);
}

static void test_files(void **state)
{
    (void)state;
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 256;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(node_rights_files(), limit.rlim_max);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(limit.rlim_cur, limit.rlim_max);
}

static void test_find(void **state)
{
    (void)state;
    struct conf_faults faults = {0};
    struct node_rights r;
    assert_int_equal(node_rights_find("", &r, &faults), ERR_OK);
    assert_false(r.change);
    assert_int_equal(node_rights_find("no-such-user-here", &r, &faults), ERR_REFUSED);
    assert_int_equal(faults.errors, 1);
    assert_non_null(strstr(faults.at[0].message, "no-such-user-here"));
    conf_faults_fini(&faults);
}

/* In a child, since there is no way back. */
static void test_drop(void **state)
{
    (void)state;
    if (geteuid() != 0)
        return; /* only root can become somebody else */
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct conf_faults faults = {0};
        struct node_rights r, again;
        if (node_rights_find("nobody", &r, &faults) != ERR_OK || !r.change)
            _exit(1);
        if (node_rights_drop(&r) != ERR_OK || geteuid() != r.uid || getegid() != r.gid)
            _exit(2);
        if (setuid(0) == 0 || seteuid(0) == 0)
            _exit(3);
        /* itself once more is nothing to do; somebody else is refused */
        if (node_rights_find("nobody", &again, &faults) != ERR_OK || again.change)
            _exit(4);
        if (node_rights_find("root", &again, &faults) != ERR_REFUSED)
            _exit(5);
        conf_faults_fini(&faults);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connections), cmocka_unit_test(test_workers),
        cmocka_unit_test(test_files), cmocka_unit_test(test_find), cmocka_unit_test(test_drop)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
