#include "tests/unit/cache/policy/lines.h"

#include "cache/policy/validate.h"

#define NOW_S INT64_C(784111777)
#define NOW "Sun, 06 Nov 1994 08:49:37 GMT"
#define LM "Sat, 05 Nov 1994 08:49:37 GMT"
#define LM_OTHER "Sat, 05 Nov 1994 08:49:38 GMT"
/* the same instant in another of the three forms */
#define LM_ASCTIME "Sat Nov  5 08:49:37 1994"

static const struct {
    const char *why, *stored, *request, *want;
    bool want_possible;
} ask_rows[] = {
    {"a tag", "etag: \"a\"", "x: y", "x: y\nif-none-match: \"a\"\n", true},
    {"weak too", "etag: W/\"a\"", "", "if-none-match: W/\"a\"\n", true},
    {"a date", "last-modified: " LM, "", "if-modified-since: " LM "\n", true},
    {"both", "etag: \"a\"\nlast-modified: " LM, "",
     "if-none-match: \"a\"\nif-modified-since: " LM "\n", true},
    {"a bad date", "last-modified: x", "", "", false},
    {"an empty tag", "etag: ", "", "", false},
    {"nothing", "date: " NOW, "x: y", "x: y\n", false},
    {"the client's own go, with its range", "etag: \"a\"",
     "if-none-match: \"b\"\nif-modified-since: " NOW "\nif-match: \"c\"\nx: y\n"
     "if-unmodified-since: " NOW "\nif-range: \"d\"\nrange: bytes=0-1\nif-none-match: \"e\"",
     "x: y\nif-none-match: \"a\"\n", true},
};

static void test_ask(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ask_rows); i++) {
        struct arena arena;
        arena_init(&arena, 65536);
        struct http_fields stored = lines(&arena, ask_rows[i].stored);
        struct http_fields request = lines(&arena, ask_rows[i].request);
        assert_true(policy_validate_ask(&stored, &request, &arena));
        ASSERT_SPAN(ask_rows[i].why, unlines(&arena, &request), span_text(ask_rows[i].want));
        if (policy_validate_possible(&stored) != ask_rows[i].want_possible)
            fail_msg("%s: possible?", ask_rows[i].why);
        arena_fini(&arena);
    }
}

static const struct {
    const char *why, *stored, *fresh;
    bool want;
} match_rows[] = {
    {"same tag", "etag: \"a\"", "etag: \"a\"", true},
    {"another tag", "etag: \"a\"", "etag: \"b\"", false},
    {"another tag, same date", "etag: \"a\"\nlast-modified: " LM,
     "etag: \"b\"\nlast-modified: " LM, false},
    {"both weak", "etag: W/\"a\"", "etag: W/\"a\"", true},
    {"weak, another", "etag: W/\"a\"", "etag: W/\"b\"", false},
    {"weak in the 304, strong stored: not proven", "etag: \"a\"", "etag: W/\"a\"", false},
    {"weakened by a server that compresses", "etag: W/\"a\"", "etag: \"a\"", true},
    {"same date", "last-modified: " LM, "last-modified: " LM, true},
    {"same date in another form", "last-modified: " LM, "last-modified: " LM_ASCTIME, true},
    {"another date", "last-modified: " LM, "last-modified: " LM_OTHER, false},
    {"same tag decides over the date", "etag: \"a\"\nlast-modified: " LM,
     "etag: \"a\"\nlast-modified: " LM_OTHER, true},
    {"a tag that was never stored", "x: y", "etag: \"a\"", false},
    {"such a tag, but the date agrees", "last-modified: " LM, "etag: \"a\"\nlast-modified: " LM,
     true},
    {"no validator at all", "etag: \"a\"", "x: y", true},
    {"no validator, a date was stored", "last-modified: " LM, "x: y", true},
    {"a date that was never stored", "x: y", "last-modified: " LM, true},
    {"the tag was left out, the date agrees", "etag: \"a\"\nlast-modified: " LM,
     "last-modified: " LM, true},
    {"the tag was left out, the date does not", "etag: \"a\"\nlast-modified: " LM,
     "last-modified: " LM_OTHER, false},
};

static void test_matches(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(match_rows); i++) {
        struct arena arena;
        arena_init(&arena, 65536);
        struct http_fields stored = lines(&arena, match_rows[i].stored);
        struct http_fields fresh = lines(&arena, match_rows[i].fresh);
        if (policy_validate_matches(&stored, &fresh) != match_rows[i].want)
            fail_msg("%s", match_rows[i].why);
        arena_fini(&arena);
    }
}

static const struct {
    const char *why, *stored, *fresh, *want;
} merge_rows[] = {
    {"replaced", "x: 1\ny: 2", "date: " NOW "\nx: 3", "y: 2\ndate: " NOW "\nx: 3\n"},
    {"all lines of a name", "x: 1\ny: 2\nx: 3", "x: 4\ndate: " NOW,
     "y: 2\nx: 4\ndate: " NOW "\n"},
    {"by several", "vary: a", "vary: b\nvary: c\ndate: " NOW,
     "vary: b\nvary: c\ndate: " NOW "\n"},
    {"what is new comes in", "y: 2", "x: 1\ndate: " NOW, "y: 2\nx: 1\ndate: " NOW "\n"},
    {"what describes the bytes stays",
     "content-encoding: gzip\ncontent-length: 5\ncontent-type: a/b",
     "content-encoding: br\ncontent-length: 0\ncontent-range: bytes 0-1/2\ncontent-type: c/d\n"
     "transfer-encoding: chunked\ndate: " NOW,
     "content-encoding: gzip\ncontent-length: 5\ncontent-type: c/d\ndate: " NOW "\n"},
    {"what belongs to the connection stays out", "x: 1",
     "connection: close\nkeep-alive: x\nproxy-connection: x\nte: x\ntrailer: x\nupgrade: x\n"
     "proxy-authenticate: x\nproxy-authentication-info: x\nproxy-authorization: x\ndate: " NOW,
     "x: 1\ndate: " NOW "\n"},
    {"no Date: ours, not the old one", "date: " LM "\nx: 1", "y: 2",
     "x: 1\ny: 2\ndate: " NOW "\n"},
    {"a bad Date too", "date: " LM, "date: x", "date: " NOW "\n"},
    {"the old Age is gone", "age: 7\nx: 1", "date: " NOW, "x: 1\ndate: " NOW "\n"},
    {"the new Age counts", "x: 1", "age: 9\ndate: " NOW, "x: 1\nage: 9\ndate: " NOW "\n"},
    {"weak stays weak", "etag: W/\"a\"", "etag: \"a\"\ndate: " NOW,
     "etag: W/\"a\"\ndate: " NOW "\n"},
    {"a first tag comes in", "x: 1", "etag: \"a\"\ndate: " NOW,
     "x: 1\netag: \"a\"\ndate: " NOW "\n"},
};

static void test_merge(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(merge_rows); i++) {
        struct arena arena;
        struct http_fields out = {0};
        arena_init(&arena, 65536);
        struct http_fields stored = lines(&arena, merge_rows[i].stored);
        struct http_fields fresh = lines(&arena, merge_rows[i].fresh);
        assert_true(policy_validate_merge(&stored, &fresh, NOW_S, &arena, &out));
        ASSERT_SPAN(merge_rows[i].why, unlines(&arena, &out), span_text(merge_rows[i].want));
        arena_fini(&arena);
    }
}

static const struct {
    const char *why, *stored;
    int64_t stored_bytes;
    unsigned status;
    const char *head;
    int64_t head_bytes; /* < 0: not declared */
    enum policy_head want;
} head_rows[] = {
    {"all agrees", "etag: \"a\"\nlast-modified: " LM, 5, 200, "etag: \"a\"\nlast-modified: " LM,
     5, POLICY_HEAD_UPDATES},
    {"nothing to compare", "x: y", 5, 200, "x: z", -1, POLICY_HEAD_UPDATES},
    {"another tag", "etag: \"a\"", 5, 200, "etag: \"b\"", 5, POLICY_HEAD_OUTDATES},
    {"a tag at last", "x: y", 5, 200, "etag: \"b\"", 5, POLICY_HEAD_OUTDATES},
    {"another date", "last-modified: " LM, 5, 200, "last-modified: " LM_OTHER, 5,
     POLICY_HEAD_OUTDATES},
    {"another length", "etag: \"a\"", 5, 200, "etag: \"a\"", 6, POLICY_HEAD_OUTDATES},
    {"length not known here", "etag: \"a\"", HTTP_LENGTH_UNKNOWN, 200, "etag: \"a\"", 6,
     POLICY_HEAD_UPDATES},
    {"another encoding says nothing", "etag: \"a\"\ncontent-encoding: br", 5, 200,
     "etag: \"b\"", 6, POLICY_HEAD_NOTHING},
    {"the same encoding does", "etag: \"a\"\ncontent-encoding: br", 5, 200,
     "etag: \"b\"\ncontent-encoding: br", 5, POLICY_HEAD_OUTDATES},
    {"an error says nothing", "etag: \"a\"", 5, 404, "etag: \"b\"", 6, POLICY_HEAD_NOTHING},
};

static void test_head(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(head_rows); i++) {
        struct arena arena;
        arena_init(&arena, 65536);
        struct http_fields stored = lines(&arena, head_rows[i].stored);
        struct http_response head = {.status = (uint16_t)head_rows[i].status,
                                     .fields = lines(&arena, head_rows[i].head),
                                     .body_bytes = head_rows[i].head_bytes,
                                     .length_declared = head_rows[i].head_bytes >= 0};
        if (policy_validate_head(&stored, head_rows[i].stored_bytes, &head) !=
            head_rows[i].want)
            fail_msg("%s", head_rows[i].why);
        arena_fini(&arena);
    }
}

static void test_full_arena(void **state)
{
    (void)state;
    struct arena arena, small;
    struct http_fields out = {0};
    arena_init(&arena, 65536);
    arena_init(&small, 1);
    struct http_fields stored = lines(&arena, "etag: \"a\"");
    assert_false(policy_validate_merge(&stored, &stored, NOW_S, &small, &out));
    struct http_fields request = {0};
    assert_false(policy_validate_ask(&stored, &request, &small));
    arena_fini(&small);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ask),        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_merge),      cmocka_unit_test(test_head),
        cmocka_unit_test(test_full_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
