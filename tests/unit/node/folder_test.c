#include "node/folder.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char base[64];

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", base, name);
    return path;
}

static int make_base(void **state)
{
    (void)state;
    strcpy(base, "/tmp/perigee_test_XXXXXX");
    return mkdtemp(base) ? 0 : -1;
}

static int remove_base(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", base);
    return system(command);
}

static const struct node_rights same = {.change = false};

static void test_made_and_locked(void **state)
{
    (void)state;
    const char *path = path_of("data");
    struct stat st;
    int fd = -1, again = -1;
    assert_int_equal(node_folder_make(path, &same, &fd), ERR_OK);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(node_folder_lock(fd, path), ERR_OK);
    assert_int_equal(node_folder_make(path, &same, &again), ERR_OK); /* it is there */
    assert_int_equal(node_folder_lock(again, path), ERR_REFUSED);
    close(fd);
    assert_int_equal(node_folder_lock(again, path), ERR_OK); /* the other one ended */
    close(again);
}

static void test_no_folder(void **state)
{
    (void)state;
    int fd = -1;
    assert_int_equal(node_folder_make(path_of("not/there"), &same, &fd), ERR_SYS);
    int file = open(path_of("file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    close(file);
    assert_int_equal(node_folder_make(path_of("file"), &same, &fd), ERR_SYS);
    assert_int_equal(fd, -1);
}

static uid_t owner_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_uid;
}

static void test_given_away(void **state)
{
    (void)state;
    const struct node_rights other = {
        .change = true, .uid = 65534, .gid = 65534, .user = "nobody"};
    int fd = -1;
    if (geteuid() != 0)
        return; /* only root gives anything away */
    assert_int_equal(node_folder_make(path_of("new"), &other, &fd), ERR_OK);
    close(fd);
    assert_int_equal(owner_of(path_of("new")), 65534);

    assert_int_equal(mkdir(path_of("empty"), 0755), 0);
    assert_int_equal(node_folder_make(path_of("empty"), &other, &fd), ERR_OK);
    close(fd);
    assert_int_equal(owner_of(path_of("empty")), 65534);

    /* like /tmp: others keep things there */
    assert_int_equal(mkdir(path_of("used"), 0755), 0);
    assert_int_equal(mkdir(path_of("used/x"), 0755), 0);
    assert_int_equal(node_folder_make(path_of("used"), &other, &fd), ERR_OK);
    close(fd);
    assert_int_equal(owner_of(path_of("used")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_made_and_locked),
                                       cmocka_unit_test(test_no_folder),
                                       cmocka_unit_test(test_given_away)};
    return cmocka_run_group_tests(tests, make_base, remove_base);
}
