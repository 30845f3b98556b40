#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "admin/auth.h"

#define READER "reader-token-0123456789"
#define PURGER "purger-token-0123456789"
#define ADMIN "admin-token-0123456789=="

static char folder[] = "/tmp/perigee-auth-XXXXXX";

static const char *token_file(const char *name, const char *content)
{
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(content, file);
    fclose(file);
    return path;
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static const char *shop[] = {"shop"};

static struct http_fields shown(struct arena *a, const char *value)
{
    struct http_fields f = {0};
    if (value)
        assert_true(http_fields_add_named(&f, a, HTTP_NAME_AUTHORIZATION, span_text(value)));
    return f;
}

/* Scopes are told by letters: r, p, a; sites: s = shop, o = other, * = all at once. */
static const struct {
    const char *why, *authorization;
    bool with_tokens, local;
    const char *want; /* NULL: 401 at once */
} rows[] = {
    {"reader", "Bearer " READER, true, false, "r so*"},
    {"scheme in any case", "bEARER " READER, true, false, "r so*"},
    {"more white space", "Bearer   " READER, true, false, "r so*"},
    {"purger of one site", "Bearer " PURGER, true, false, "p s"},
    {"admin may all", "Bearer " ADMIN, true, false, "rpa so*"},
    {"nobody", NULL, true, false, " "},
    {"nobody, though local", NULL, true, true, " "},
    {"another scheme", "Basic " READER, true, false, NULL},
    {"no token", "Bearer ", true, false, NULL},
    {"a prefix of one", "Bearer reader-token-012345678", true, false, NULL},
    {"one octet more", "Bearer " READER "x", true, false, NULL},
    {"in upper case", "Bearer READER-TOKEN-0123456789", true, false, NULL},
    {"none configured, local", NULL, false, true, "rpa so*"},
    {"none configured, local, shown all the same", "Bearer x", false, true, "rpa so*"},
    {"none configured, not local", NULL, false, false, " "},
    {"none configured, not local, shown", "Bearer " READER, false, false, " "},
};

static void test_rows(void **state)
{
    (void)state;
    struct conf_token tokens[] = {
        {.name = "reader", .file = token_file("r", READER "\n"), .scope_read = true},
        {.name = "purger",
         .file = token_file("p", PURGER),
         .scope_purge = true,
         .sites = {shop, 1}},
        {.name = "admin",
         .file = token_file("a", ADMIN "\r\nwhat follows is not read\n"),
         .scope_admin = true},
    };
    struct conf with = {.admin = {.tokens = tokens, .token_count = ARRAY_LEN(tokens)}};
    struct conf without = {.admin = {.token_count = 0}};
    struct conf_faults faults = {0};
    struct admin_auth *auths[] = {admin_auth_create(&without, &faults),
                                  admin_auth_create(&with, &faults)};
    assert_true(auths[0] && auths[1] && faults.count == 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena arena;
        struct admin_caller c;
        char got[16];
        arena_init(&arena, 4096);
        struct http_fields f = shown(&arena, rows[i].authorization);
        enum err err = admin_auth_find(auths[rows[i].with_tokens], &f, rows[i].local, &c);
        if (err != (rows[i].want ? ERR_OK : ERR_REFUSED))
            fail_msg("%s: %d", rows[i].why, err);
        if (!err) {
            snprintf(got, sizeof got, "%s%s%s %s%s%s",
                     admin_auth_has(&c, ADMIN_SCOPE_READ) ? "r" : "",
                     admin_auth_has(&c, ADMIN_SCOPE_PURGE) ? "p" : "",
                     admin_auth_has(&c, ADMIN_SCOPE_ADMIN) ? "a" : "",
                     admin_auth_site(&c, SPAN("shop")) ? "s" : "",
                     admin_auth_site(&c, SPAN("other")) ? "o" : "",
                     admin_auth_site(&c, (struct span){0}) ? "*" : "");
            if (strcmp(got, rows[i].want) != 0)
                fail_msg("%s: got \"%s\"", rows[i].why, got);
            assert_true(admin_auth_has(&c, ADMIN_SCOPE_NONE));
        }
        arena_fini(&arena);
    }
    /* two Authorization lines are a doubt */
    struct arena arena;
    struct admin_caller c;
    arena_init(&arena, 4096);
    struct http_fields f = shown(&arena, "Bearer " READER);
    assert_true(
        http_fields_add_named(&f, &arena, HTTP_NAME_AUTHORIZATION, SPAN("Bearer " ADMIN)));
    assert_int_equal(admin_auth_find(auths[1], &f, false, &c), ERR_REFUSED);
    arena_fini(&arena);
    admin_auth_destroy(auths[0]);
    admin_auth_destroy(auths[1]);
}

static void test_files(void **state)
{
    (void)state;
    static const struct {
        const char *why, *content;
        bool ok;
    } files[] = {
        {"shortest", "0123456789abcdef", true},
        {"too short", "0123456789abcde\n", false},
        {"empty", "", false},
        {"only the first line", "0123456789abcdef\r\n# ours, since May\n", true},
        {"nothing in it", "\n0123456789abcdef\n", false},
        {"too short, though more follows", "0123456789abcde\n0123456789abcdef\n", false},
        {"a space in it", "0123456789 abcdef", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct conf_token token = {
            .name = "t", .file = token_file("t", files[i].content), .place = {7, 3}};
        struct conf conf = {.admin = {.tokens = &token, .token_count = 1}};
        struct conf_faults faults = {0};
        struct admin_auth *auth = admin_auth_create(&conf, &faults);
        if ((auth != NULL) != files[i].ok || (faults.errors == 0) != files[i].ok)
            fail_msg("%s", files[i].why);
        if (faults.count)
            assert_int_equal(faults.at[0].line, 7);
        conf_faults_fini(&faults);
        admin_auth_destroy(auth);
    }
    char longest[514];
    memset(longest, 'a', 513);
    longest[513] = '\0';
    for (int cut = 0; cut < 2; cut++) { /* 513 characters, then 512 */
        longest[513 - cut] = '\0';
        struct conf_token token = {.name = "t", .file = token_file("l", longest)};
        struct conf conf = {.admin = {.tokens = &token, .token_count = 1}};
        struct conf_faults faults = {0};
        struct admin_auth *auth = admin_auth_create(&conf, &faults);
        assert_int_equal(auth != NULL, cut);
        conf_faults_fini(&faults);
        admin_auth_destroy(auth);
    }
    struct conf_token missing = {.name = "t", .file = "/nonexistent/token"};
    struct conf conf = {.admin = {.tokens = &missing, .token_count = 1}};
    struct conf_faults faults = {0};
    assert_null(admin_auth_create(&conf, &faults));
    assert_int_equal(faults.errors, 1);
    conf_faults_fini(&faults);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
