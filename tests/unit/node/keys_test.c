#include "node/keys.h"

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

/* "AAAA...A=" is 32 zero bytes; others differ in the first letter. */
#define KEY32(letter) letter "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define KEY16(letter) letter "AAAAAAAAAAAAAAAAAAAAA=="
#define EIGHT                                                                                  \
    KEY32("A")                                                                                 \
    "\n" KEY32("B") "\n" KEY32("C") "\n" KEY32("D") "\n" KEY32("E") "\n" KEY32(                \
        "F") "\n" KEY32("G") "\n" KEY32("H") "\n"

struct place {
    char folder[64], secret[96], key[96];
    int fd;
};

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int make_place(void **state)
{
    struct place *p = must_alloc(sizeof *p);
    snprintf(p->folder, sizeof p->folder, "/tmp/perigee-keys-XXXXXX");
    if (!mkdtemp(p->folder))
        return -1;
    snprintf(p->secret, sizeof p->secret, "%s/secret", p->folder);
    snprintf(p->key, sizeof p->key, "%s/key", p->folder);
    p->fd = open(p->folder, O_RDONLY | O_DIRECTORY);
    *state = p;
    return 0;
}

static int remove_place(void **state)
{
    struct place *p = *state;
    static const char *const names[] = {"secret", "key", NODE_KEYS_KEPT};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        unlinkat(p->fd, names[i], 0);
    close(p->fd);
    int left = rmdir(p->folder); /* nothing else stays behind */
    free(p);
    return left;
}

/* secret, key: the files' text; NULL: not configured. What is told, or "". */
static void read_keys(struct place *p, const char *secret, const char *key,
                      struct node_keys *out, char told[512])
{
    struct conf_faults faults = {0};
    struct conf_cluster c = {.secret_file = secret ? p->secret : "",
                             .gossip_key_file = key ? p->key : "",
                             .secret_place = {3, 4},
                             .gossip_key_place = {5, 6}};
    if (secret)
        write_file(p->secret, secret);
    if (key)
        write_file(p->key, key);
    struct io_secrets *secrets =
        secret ? io_secrets_read(p->secret, c.secret_place, &faults) : NULL;
    enum err err = node_keys_read(&c, secrets, out, &faults);
    if (faults.errors)
        err = ERR_REFUSED;
    io_secrets_drop(secrets);
    assert_int_equal(err != ERR_OK, faults.errors > 0);
    told[0] = '\0';
    for (uint32_t i = 0; i < faults.count; i++) {
        assert_int_equal(faults.at[i].line, strstr(faults.at[i].message, "gossip_key") ? 5 : 3);
        snprintf(told + strlen(told), 512 - strlen(told), "%s;", faults.at[i].message);
    }
    conf_faults_fini(&faults);
}

static void test_files(void **state)
{
    static const struct {
        const char *why, *secret, *key, *told; /* a part; "" = good */
        unsigned count;
    } rows[] = {
        {"nothing configured", NULL, NULL, "", 0},
        {"a secret", KEY32("A") "\n", NULL, "", 1},
        {"no line end, or DOS's, and empty lines", "\r\n\n" KEY32("A") "\r\n" KEY32("B"), NULL,
         "", 2},
        {"the same twice", KEY32("A") "\n" KEY32("A"), NULL, "", 1},
        {"a key of 16 bytes", NULL, KEY16("A"), "", 1},
        {"both: the key counts", KEY32("A") "\n" KEY32("B"), KEY16("A"), "", 1},
        {"as many as fit", EIGHT, NULL, "", 8},
        {"one more", EIGHT KEY32("I"), NULL, "line 9 is one key too many", 0},
        {"a short secret", KEY16("A"), NULL, "line 1 is no base64 of 32 bytes", 0},
        {"a long secret", KEY32("A") KEY32("A"), NULL, "line 1 is no base64", 0},
        {"no base64", KEY32("A") "\nsecret\n", NULL, "line 2 is no base64 of 32 bytes", 0},
        {"a comment is no key", "# mine\n" KEY32("A"), NULL, "line 1 is no base64", 0},
        {"a key of another length", NULL, "AAAA", "line 1 is no base64 of 16, 24 or 32", 0},
        {"an empty file", "", NULL, "holds no key", 0},
        {"both are told", "x", "y", "gossip_key_file", 0},
    };
    char told[512];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct node_keys k = {0};
        read_keys(*state, rows[i].secret, rows[i].key, &k, told);
        if (!strstr(told, rows[i].told) || (!*rows[i].told && *told))
            fail_msg("%s: %s", rows[i].why, told);
        if (k.ring.count != rows[i].count)
            fail_msg("%s: %u keys", rows[i].why, k.ring.count);
        if (*told && (strstr(told, "AAAA") || strstr(told, "mine")))
            fail_msg("%s: what is secret is told: %s", rows[i].why, told);
    }
}

static void test_files_that_cannot_be(void **state)
{
    struct place *p = *state;
    struct conf_faults faults = {0};
    struct node_keys k;
    const struct conf_place place = {3, 4};
    struct conf_cluster c = {.secret_file = p->secret, .gossip_key_file = p->folder};
    char *large = must_alloc(NODE_KEYS_FILE_MAX + 2);
    assert_null(io_secrets_read(p->secret, place, &faults));
    assert_int_equal(node_keys_read(&c, NULL, &k, &faults), ERR_REFUSED);
    assert_int_equal(faults.count, 2);
    assert_non_null(strstr(faults.at[0].message, "No such file"));
    assert_non_null(strstr(faults.at[1].message, "directory"));
    conf_faults_fini(&faults);
    memset(large, '\n', NODE_KEYS_FILE_MAX + 1);
    write_file(p->secret, large);
    assert_null(io_secrets_read(p->secret, place, &faults));
    assert_non_null(strstr(faults.at[0].message, "larger than 4096 bytes"));
    conf_faults_fini(&faults);
    free(large);
    /* A pipe that nobody writes into is not waited for. */
    assert_int_equal(unlink(p->secret), 0);
    assert_int_equal(mkfifo(p->secret, 0600), 0);
    alarm(20);
    assert_null(io_secrets_read(p->secret, place, &faults));
    alarm(0);
    assert_non_null(strstr(faults.at[0].message, "holds no key"));
    conf_faults_fini(&faults);
}

/* The key of a secret is what `perigee cluster gossip-key` prints on every node, for good. */
static void test_derived_key(void **state)
{
    struct node_keys k = {0};
    struct wire_key derived;
    char told[512];
    static const uint8_t zeroes[32];
    read_keys(*state, KEY32("A"), NULL, &k, told);
    assert_string_equal(told, "");
    assert_int_equal(wire_keyring_derive(span_of(zeroes, 32), &derived), ERR_OK);
    assert_true(span_equal(wire_key_span(&k.ring.keys[0]), wire_key_span(&derived)));
    assert_string_equal(k.source, "secret_file");
    read_keys(*state, KEY32("A"), KEY16("B"), &k, told);
    assert_string_equal(k.source, "gossip_key_file");
    assert_int_equal(k.ring.keys[0].len, 16);
}

static void keep(struct place *p, const struct node_keys *k)
{
    struct buf text;
    buf_init(&text, 0);
    node_keys_print(k, &text);
    assert_int_equal(node_keys_keep(p->fd, buf_span(&text)), ERR_OK);
    buf_fini(&text);
}

static void test_kept_ring(void **state)
{
    struct place *p = *state;
    struct node_keys k = {0}, rotated, again;
    struct wire_key other;
    struct stat s;
    char told[512];
    read_keys(p, KEY32("A"), NULL, &k, told);
    assert_int_equal(node_keys_recall(p->fd, &k), ERR_NOT_FOUND);
    rotated = k;
    assert_int_equal(wire_key_parse(SPAN(KEY16("C")), &other), ERR_OK);
    assert_int_equal(wire_keyring_install(&rotated.ring, wire_key_span(&other)), ERR_OK);
    assert_int_equal(wire_keyring_use(&rotated.ring, wire_key_span(&other)), ERR_OK);
    keep(p, &rotated);
    assert_int_equal(fstatat(p->fd, NODE_KEYS_KEPT, &s, 0), 0);
    assert_int_equal(s.st_mode & 07777, 0600);

    again = k;
    assert_int_equal(node_keys_recall(p->fd, &again), ERR_OK);
    assert_string_equal(again.source, NODE_KEYS_KEPT);
    assert_int_equal(again.ring.count, 2);
    assert_true(span_equal(wire_key_span(&again.ring.keys[0]), wire_key_span(&other)));
    keep(p, &k); /* a second time, over the first */
    node_keys_recall_from(p->folder, &again);
    assert_int_equal(again.ring.count, 1);
    node_keys_recall_from("/nonexistent", &again);
    assert_int_equal(again.ring.count, 1);

    /* Spaces do not make it another file; another key does. */
    read_keys(p, "\n" KEY32("A") "\n\n", NULL, &k, told);
    assert_int_equal(node_keys_recall(p->fd, &k), ERR_OK);
    read_keys(p, KEY32("A") "\n" KEY32("B"), NULL, &k, told);
    assert_int_equal(node_keys_recall(p->fd, &k), ERR_REFUSED);
    assert_int_equal(k.ring.count, 2);
}

static void test_kept_text(void **state)
{
#define HASH "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
    static const struct {
        const char *why, *text;
        enum err want;
    } rows[] = {
        {"good", "# x\nfrom " HASH "\n" KEY32("A") "\n", ERR_OK},
        {"without its end", "from " HASH "\n" KEY32("A"), ERR_SYNTAX},
        {"no hash", KEY32("A") "\n", ERR_SYNTAX},
        {"a short hash", "from 00\n" KEY32("A") "\n", ERR_SYNTAX},
        {"no hash at all", "from " HASH "x\n" KEY32("A") "\n", ERR_SYNTAX},
        {"letters beyond f", "from g" HASH "\n" KEY32("A") "\n", ERR_SYNTAX},
        {"no key", "from " HASH "\n", ERR_SYNTAX},
        {"a bad key", "from " HASH "\nAAAA\n", ERR_SYNTAX},
        {"two hashes", "from " HASH "\nfrom " HASH "\n" KEY32("A") "\n", ERR_SYNTAX},
        {"too many", "from " HASH "\n" EIGHT KEY32("I") "\n", ERR_SYNTAX},
        {"empty", "", ERR_SYNTAX},
    };
    struct node_keys k;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (node_keys_parse(span_text(rows[i].text), &k) != rows[i].want)
            fail_msg("%s", rows[i].why);
    /* Cut anywhere, it is refused: half a ring would lock this node out. */
    const char *whole = "from " HASH "\n" KEY32("A") "\n" KEY32("B") "\n";
    for (size_t cut = 0; cut < strlen(whole); cut++) {
        enum err err = node_keys_parse(span_of(whole, cut), &k);
        bool first_line_end = cut == strlen("from " HASH "\n" KEY32("A") "\n");
        if ((err == ERR_OK) != first_line_end)
            fail_msg("cut at %zu: %s", cut, err_text(err));
    }
}

static void test_no_disk(void **state)
{
    (void)state;
    struct node_keys k = {0};
    int fd = open("/proc/self", O_RDONLY | O_DIRECTORY);
    assert_int_equal(node_keys_keep(fd, SPAN("x")), ERR_SYS);
    close(fd);
    assert_int_equal(node_keys_recall(-1, &k), ERR_SYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_files, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_files_that_cannot_be, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_derived_key, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_kept_ring, make_place, remove_place),
        cmocka_unit_test(test_kept_text),
        cmocka_unit_test(test_no_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
