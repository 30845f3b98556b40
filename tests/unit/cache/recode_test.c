#include "tests/unit/cache/scene.h"

#include "base/counter.h"
#include "cache/memory/recode.h"
#include "cache/memory/tier.h"

#define MB (UINT64_C(1) << 20)
#define FRESH "cache-control: max-age=60"
#define ANY_SIZE UINT64_MAX

static const enum policy_encoding both[] = {POLICY_GZIP, POLICY_ZSTD};

struct bytes {
    char *at;
    size_t len, room;
};

static void add(struct bytes *b, struct span s)
{
    if (b->len + s.len > b->room) {
        b->room = (b->len + s.len) * 2;
        b->at = must_realloc(b->at, b->room);
    }
    if (s.len)
        memcpy(b->at + b->len, s.ptr, s.len);
    b->len += s.len;
}

static struct span of(const struct bytes *b)
{
    return span_of(b->at, b->len);
}

static struct bytes text_of(size_t len)
{
    static const char *words[] = {"node ", "cache", "<p>", "the ", "\n", "edge", "0123", "of "};
    struct bytes b = {0};
    uint32_t x = 1;
    while (b.len < len) {
        x = x * 1664525 + 1013904223;
        add(&b, span_text(words[x >> 29]));
        add(&b, span_of(&x, x % 3));
    }
    b.len = len;
    return b;
}

/* More through a codec; what it says when it has no more to do. */
static enum err through(struct memory_codec *c, struct span in, enum memory_codec_flush flush,
                        struct bytes *out)
{
    char room[4096];
    size_t got;
    enum err e;
    do {
        e = memory_codec_run(c, &in, flush, room, sizeof(room), &got);
        add(out, span_of(room, got));
    } while (e == ERR_OK);
    return e;
}

static struct bytes encoded(enum policy_encoding to, struct span in)
{
    struct bytes out = {0};
    struct memory_codec *c = memory_codec_encoder(to, 6, HTTP_LENGTH_UNKNOWN);
    assert_int_equal(through(c, in, MEMORY_CODEC_END, &out), ERR_CLOSED);
    memory_codec_destroy(c);
    return out;
}

static struct client *lead(struct scene *s, const char *path, int64_t length)
{
    struct client *c = client_ask(s, HTTP_GET, path, "");
    assert_int_equal(c->answer.verdict, CACHE_LEAD);
    client_open(c);
    client_fetch(c);
    assert_int_equal(client_respond(c, 200, FRESH, length), CACHE_TAKE_BODY);
    assert_int_equal(memory_reader_head(&c->reader), MEMORY_HEAD_READY);
    return c;
}

static void give(struct client *c, struct span bytes)
{
    assert_int_equal(cache_intake_body(&c->intake, bytes), ERR_OK);
}

/* The object of that body, in RAM, and its reader. */
static struct client *hit(struct scene *s, const char *path, struct span body)
{
    struct client *c = lead(s, path, (int64_t)body.len);
    give(c, body);
    cache_intake_end(&c->intake, NULL);
    client_fetched(c);
    client_destroy(c);
    c = client_ask(s, HTTP_GET, path, "");
    assert_int_equal(c->answer.verdict, CACHE_HIT);
    client_open(c);
    return c;
}

/* What there is now, `step` bytes at a time; how it ended. */
static enum err pull(struct memory_recode *r, size_t step, struct bytes *out)
{
    struct span piece;
    enum err e;
    while ((e = memory_recode_peek(r, &piece)) == ERR_OK) {
        assert_true(piece.len > 0 && piece.len <= MEMORY_RECODE_BYTES);
        piece = span_until(piece, piece.len < step ? piece.len : step);
        add(out, piece);
        memory_recode_consume(r, piece.len);
    }
    assert_int_equal(memory_recode_peek(r, &piece), e);
    return e;
}

static unsigned recodes(struct scene *s)
{
    return atomic_load(&s->cache->tier.recodes);
}

static void test_object_both_ways(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 5000, 16384, 700000};
    struct scene s;
    scene_open(&s, NULL, 16 * MB);
    struct bytes text = text_of(700000);
    for (size_t i = 0; i < 2 * ARRAY_LEN(sizes); i++) {
        char path[32];
        enum policy_encoding to = both[i % 2];
        struct span body = span_until(of(&text), sizes[i / 2]);
        uint64_t in_before =
            counter_sum(i % 2 ? COUNTER_ENCODER_IN_ZSTD : COUNTER_ENCODER_IN_GZIP);
        uint64_t out_before = counter_sum(COUNTER_ENCODER_OUT_IDENTITY);
        struct bytes small = {0}, back = {0};
        (void)snprintf(path, sizeof(path), "/plain%zu", i);
        struct client *c = hit(&s, path, body);
        struct memory_recode *r = memory_recode_create(&c->reader, POLICY_IDENTITY, to);
        assert_int_equal(recodes(&s), 1);
        assert_int_equal(pull(r, i < 4 ? SIZE_MAX : 777, &small), ERR_CLOSED);
        assert_true(sizes[i / 2] < 5000 || small.len < body.len * 3 / 4);
        memory_recode_destroy(r);
        client_destroy(c);

        (void)snprintf(path, sizeof(path), "/small%zu", i);
        c = hit(&s, path, of(&small));
        r = memory_recode_create(&c->reader, to, POLICY_IDENTITY);
        assert_int_equal(pull(r, i < 4 ? 999 : SIZE_MAX, &back), ERR_CLOSED);
        assert_true(span_equal(of(&back), body));
        assert_int_equal(atomic_load(&c->reader.object->marks), 0);
        memory_recode_destroy(r);
        client_destroy(c);
        assert_int_equal(recodes(&s), 0);
        assert_int_equal(counter_sum(i % 2 ? COUNTER_ENCODER_IN_ZSTD : COUNTER_ENCODER_IN_GZIP),
                         in_before + body.len);
        assert_int_equal(counter_sum(COUNTER_ENCODER_OUT_IDENTITY), out_before + body.len);
        free(small.at);
        free(back.at);
    }
    free(text.at);
    scene_close(&s);
}

/* Each piece that arrives can be read at once by who decodes. */
static void test_trickle(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 16 * MB);
    struct bytes text = text_of(100000);
    for (size_t i = 0; i < 4; i++) {
        struct bytes sent = {0}, back = {0};
        struct client *c = lead(&s, "/x", i < 2 ? HTTP_LENGTH_UNKNOWN : (int64_t)text.len);
        struct memory_recode *r =
            memory_recode_create(&c->reader, POLICY_IDENTITY, both[i % 2]);
        struct memory_codec *d = memory_codec_decoder(both[i % 2], ANY_SIZE);
        assert_int_equal(pull(r, SIZE_MAX, &sent), ERR_AGAIN);
        assert_int_equal(sent.len, 0);
        for (size_t at = 0, n = 1; at < text.len; n = n * 2 + 1) {
            n = n < text.len - at ? n : text.len - at;
            unsigned woken = c->woken;
            give(c, span_of(text.at + at, n));
            at += n;
            turn(&s);
            assert_int_equal(c->woken, woken + 1);
            sent.len = 0;
            assert_int_equal(pull(r, 1000, &sent), ERR_AGAIN);
            assert_int_equal(through(d, of(&sent), MEMORY_CODEC_GO_ON, &back), ERR_AGAIN);
            assert_true(span_equal(of(&back), span_until(of(&text), at)));
        }
        cache_intake_end(&c->intake, NULL);
        turn(&s);
        sent.len = 0;
        assert_int_equal(pull(r, 1000, &sent), ERR_CLOSED);
        assert_int_equal(through(d, of(&sent), MEMORY_CODEC_END, &back), ERR_CLOSED);
        assert_int_equal(back.len, text.len);
        memory_recode_destroy(r);
        memory_codec_destroy(d);
        client_fetched(c);
        client_destroy(c);
        scene_purge(&s, PURGE_ALL, PURGE_HARD, "");
        free(sent.at);
        free(back.at);
    }
    free(text.at);
    scene_close(&s);
}

/* Decoding what arrives octet by octet. */
static void test_decode_trickle(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 16 * MB);
    struct bytes text = text_of(3000);
    for (size_t i = 0; i < 2; i++) {
        struct bytes small = encoded(both[i], of(&text)), back = {0};
        struct client *c = lead(&s, i ? "/x" : "/y", HTTP_LENGTH_UNKNOWN);
        struct memory_recode *r = memory_recode_create(&c->reader, both[i], POLICY_IDENTITY);
        for (size_t at = 0; at < small.len; at++) {
            assert_int_equal(pull(r, SIZE_MAX, &back), ERR_AGAIN);
            give(c, span_of(small.at + at, 1));
            turn(&s);
        }
        cache_intake_end(&c->intake, NULL);
        assert_int_equal(pull(r, SIZE_MAX, &back), ERR_CLOSED);
        assert_true(span_equal(of(&back), of(&text)));
        memory_recode_destroy(r);
        client_fetched(c);
        client_destroy(c);
        free(small.at);
        free(back.at);
    }
    free(text.at);
    scene_close(&s);
}

/* One peek takes some of a body that vanishes, and gives something. */
static void test_zeros(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 16 * MB);
    char *zeros = must_alloc(MB);
    for (size_t i = 0; i < 2; i++) {
        struct span piece;
        struct bytes small = {0}, back = {0};
        struct client *c = hit(&s, i ? "/x" : "/y", span_of(zeros, MB));
        struct memory_recode *r = memory_recode_create(&c->reader, POLICY_IDENTITY, both[i]);
        enum err e;
        unsigned peeks = 0;
        uint64_t at = 0;
        while ((e = memory_recode_peek(r, &piece)) == ERR_OK) {
            assert_true(c->reader.at - at <= 256 << 10);
            at = c->reader.at;
            peeks++;
            add(&small, piece);
            memory_recode_consume(r, piece.len);
        }
        assert_int_equal(e, ERR_CLOSED);
        assert_true(peeks >= 4);
        struct memory_codec *d = memory_codec_decoder(both[i], MB);
        assert_int_equal(through(d, of(&small), MEMORY_CODEC_END, &back), ERR_CLOSED);
        assert_true(back.len == MB && memcmp(back.at, zeros, MB) == 0);
        memory_codec_destroy(d);
        memory_recode_destroy(r);
        client_destroy(c);
        free(small.at);
        free(back.at);
    }
    free(zeros);
    scene_close(&s);
}

/* Once something came out, one peek takes no more than 64 KiB, in pieces of 16. */
static void test_turn(void **state)
{
    (void)state;
    struct scene s;
    struct span piece;
    scene_open(&s, NULL, 16 * MB);
    char *body = must_alloc(MB);
    uint32_t x = 1;
    for (size_t i = 0; i < 17000; i++) { /* a block of gzip, of 8 KiB, and a bit */
        x = x * 1664525 + 1013904223;
        body[i] = (char)('a' + (x >> 28));
    }
    struct client *c = hit(&s, "/x", span_of(body, MB));
    struct memory_recode *r = memory_recode_create(&c->reader, POLICY_IDENTITY, POLICY_GZIP);
    assert_int_equal(memory_recode_peek(r, &piece), ERR_OK);
    assert_true(c->reader.at >= 17000 && c->reader.at < 80 << 10);
    memory_recode_destroy(r);
    client_destroy(c);
    free(body);
    scene_close(&s);
}

/* A large one, whose reader waits for each slice. */
static void test_from_disk(void **state)
{
    (void)state;
    struct scene s;
    char folder[64] = "/tmp/perigee-recode-XXXXXX", command[128];
    assert_non_null(mkdtemp(folder));
    scene_open(&s, folder, 64 * MB);
    SCENE_UNTIL(&s, !atomic_load(&s.cache->tier.scanning));
    struct bytes text = text_of(3 * MB + 5);
    struct client *c = lead(&s, "/x", (int64_t)text.len);
    for (size_t at = 0, n; at < text.len; at += n) {
        struct span piece;
        unsigned room = c->room;
        n = text.len - at < 16384 ? text.len - at : 16384;
        bool paused = cache_intake_body(&c->intake, span_of(text.at + at, n)) == ERR_AGAIN;
        while (memory_reader_peek(&c->reader, &piece) == ERR_OK)
            memory_reader_consume(&c->reader, piece.len);
        SCENE_UNTIL(&s, !paused || c->room > room);
    }
    cache_intake_end(&c->intake, NULL);
    client_fetched(c);
    client_destroy(c);
    SCENE_UNTIL(&s, scene_verdict(&s, HTTP_GET, "/x", "") == CACHE_HIT);
    for (size_t i = 0; i < 2; i++) {
        struct bytes small = {0}, back = {0};
        enum err e;
        c = client_ask(&s, HTTP_GET, "/x", "");
        assert_int_equal(c->answer.verdict, CACHE_HIT);
        client_open(c);
        struct memory_recode *r = memory_recode_create(&c->reader, POLICY_IDENTITY, both[i]);
        SCENE_UNTIL(&s, (e = pull(r, SIZE_MAX, &small)) != ERR_AGAIN);
        assert_int_equal(e, ERR_CLOSED);
        assert_true(c->woken > 0 && small.len < text.len);
        struct memory_codec *d = memory_codec_decoder(both[i], text.len);
        assert_int_equal(through(d, of(&small), MEMORY_CODEC_END, &back), ERR_CLOSED);
        assert_true(span_equal(of(&back), of(&text)));
        memory_codec_destroy(d);
        memory_recode_destroy(r);
        client_destroy(c);
        free(small.at);
        free(back.at);
    }
    free(text.at);
    scene_close(&s);
    (void)snprintf(command, sizeof(command), "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

/* --- bodies that are not what they say --- */

static void check_broken(struct scene *s, const char *path, enum policy_encoding from,
                         struct span body, struct span begin)
{
    struct bytes back = {0};
    uint64_t before = counter_sum(COUNTER_ENCODER_BROKEN);
    struct client *c = hit(s, path, body);
    struct memory_recode *r = memory_recode_create(&c->reader, from, POLICY_IDENTITY);
    assert_int_equal(pull(r, SIZE_MAX, &back), ERR_CORRUPT);
    assert_true(span_starts(begin, of(&back)));
    assert_int_equal(atomic_load(&c->reader.object->marks), MEMORY_MARK_BROKEN);
    assert_int_equal(counter_sum(COUNTER_ENCODER_BROKEN), before + 1);
    memory_recode_destroy(r);
    client_destroy(c);
    /* also known to who comes later */
    c = client_ask(s, HTTP_GET, path, "");
    assert_int_equal(atomic_load(&c->answer.object->marks), MEMORY_MARK_BROKEN);
    client_destroy(c);
    free(back.at);
}

static void test_broken(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 16 * MB);
    struct bytes text = text_of(50000);
    struct bytes small = encoded(POLICY_GZIP, of(&text));
    check_broken(&s, "/text", POLICY_GZIP, of(&text), (struct span){0});
    check_broken(&s, "/text.zst", POLICY_ZSTD, of(&text), (struct span){0});
    check_broken(&s, "/cut", POLICY_GZIP, span_until(of(&small), small.len - 1), of(&text));
    s.cache->tier.object_max_bytes = text.len - 1;
    check_broken(&s, "/large", POLICY_GZIP, of(&small), of(&text));
    s.cache->tier.object_max_bytes = MB;
    free(small.at);
    /* a zstd frame to be skipped, and nothing else for long (RFC 8878 3.1.2) */
    small = (struct bytes){must_alloc(300000), 300000, 300000};
    memcpy(small.at, "\x50\x2a\x4d\x18\xd8\x93\x04\x00", 8);
    check_broken(&s, "/skip", POLICY_ZSTD, of(&small), (struct span){0});
    free(small.at);
    free(text.at);
    scene_close(&s);
}

/* While it arrives it is not known whose fault it is. */
static void test_broken_arriving(void **state)
{
    (void)state;
    struct scene s;
    struct bytes back = {0};
    scene_open(&s, NULL, 16 * MB);
    struct client *c = lead(&s, "/x", 100);
    struct memory_recode *r = memory_recode_create(&c->reader, POLICY_GZIP, POLICY_IDENTITY);
    assert_int_equal(pull(r, SIZE_MAX, &back), ERR_AGAIN);
    give(c, SPAN("no gzip"));
    assert_int_equal(pull(r, SIZE_MAX, &back), ERR_CORRUPT);
    assert_int_equal(atomic_load(&c->reader.object->marks), 0);
    memory_recode_destroy(r);
    cache_intake_fail(&c->intake, CACHE_FAILURE_INCOMPLETE, s.now_s);
    client_fetched(c);
    client_destroy(c);
    scene_close(&s);
}

static void test_fetch_fails(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, NULL, 16 * MB);
    for (size_t i = 0; i < 4; i++) {
        struct bytes out = {0};
        bool encodes = i < 2;
        uint64_t before = counter_sum(COUNTER_ENCODER_BROKEN);
        struct bytes small = encoded(both[i % 2], SPAN("hello"));
        struct client *c = lead(&s, "/x", 100);
        struct memory_recode *r =
            memory_recode_create(&c->reader, encodes ? POLICY_IDENTITY : both[i % 2],
                                 encodes ? both[i % 2] : POLICY_IDENTITY);
        give(c, of(&small));
        assert_int_equal(pull(r, SIZE_MAX, &out), ERR_AGAIN);
        cache_intake_fail(&c->intake, CACHE_FAILURE_INCOMPLETE, s.now_s);
        assert_int_equal(pull(r, SIZE_MAX, &out), ERR_SYS);
        assert_int_equal(counter_sum(COUNTER_ENCODER_BROKEN), before);
        memory_recode_destroy(r);
        client_fetched(c);
        client_destroy(c);
        free(out.at);
        free(small.at);
    }
    scene_close(&s);
}

static void test_at_most(void **state)
{
    (void)state;
    struct scene s;
    struct memory_recode *r[MEMORY_RECODES_MAX];
    scene_open(&s, NULL, 16 * MB);
    struct client *c = hit(&s, "/x", SPAN("hello"));
    for (unsigned i = 0; i < MEMORY_RECODES_MAX; i++)
        assert_non_null(r[i] = memory_recode_create(&c->reader, POLICY_IDENTITY, both[i % 2]));
    assert_null(memory_recode_create(&c->reader, POLICY_IDENTITY, POLICY_GZIP));
    assert_null(memory_recode_create(&c->reader, POLICY_GZIP, POLICY_IDENTITY));
    assert_int_equal(recodes(&s), MEMORY_RECODES_MAX);
    memory_recode_destroy(r[0]);
    assert_non_null(r[0] = memory_recode_create(&c->reader, POLICY_IDENTITY, POLICY_GZIP));
    for (unsigned i = 0; i < MEMORY_RECODES_MAX; i++)
        memory_recode_destroy(r[i]);
    memory_recode_destroy(NULL);
    assert_int_equal(recodes(&s), 0);
    client_destroy(c);
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_object_both_ways),
        cmocka_unit_test(test_trickle),
        cmocka_unit_test(test_decode_trickle),
        cmocka_unit_test(test_zeros),
        cmocka_unit_test(test_turn),
        cmocka_unit_test(test_from_disk),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_broken_arriving),
        cmocka_unit_test(test_fetch_fails),
        cmocka_unit_test(test_at_most),
    };
    counter_thread_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
