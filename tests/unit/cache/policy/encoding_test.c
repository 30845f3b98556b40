#include "tests/unit/cache/policy/lines.h"

#include "cache/policy/encoding.h"

#define NO POLICY_REFUSED
#define AE "accept-encoding: "

static const struct {
    const char *why, *request;
    int16_t identity, gzip, zstd, br;
} accept_rows[] = {
    {"absent", "a: b", 0, NO, NO, NO},
    {"empty", AE, 0, NO, NO, NO},
    {"commas alone", AE ", ,", 0, NO, NO, NO},
    {"one", AE "gzip", 0, 1000, NO, NO},
    {"all that we know", AE "gzip, zstd, br", 0, 1000, 1000, 1000},
    {"without spaces", AE "gzip,zstd,br", 0, 1000, 1000, 1000},
    {"upper case", AE "GZIP, ZStd;Q=0.5, BR", 0, 1000, 500, 1000},
    {"x-gzip", AE "X-GZip;q=0.2", 0, 200, NO, NO},
    {"x-gzip and gzip are one", AE "x-gzip;q=0.2, gzip", 0, 200, NO, NO},
    {"unknown ones", AE "deflate, compress, dcb, x-zstd", 0, NO, NO, NO},
    {"weights", AE "gzip;q=1.0, zstd;q=0.999, br;q=0.001", 0, 1000, 999, 1},
    {"spaces around the weight", AE "gzip ; q=0.5", 0, 500, NO, NO},
    {"refused", AE "gzip;q=0, zstd;q=0.000", 0, NO, NO, NO},
    {"identity weighed", AE "identity;q=0.5, gzip;q=0.1", 500, 100, NO, NO},
    {"identity named", AE "identity", 1000, NO, NO, NO},
    {"identity refused", AE "gzip, identity;q=0", NO, 1000, NO, NO},
    {"star", AE "*", 1000, 1000, 1000, 1000},
    {"star, weighed", AE "*;q=0.3, gzip", 300, 1000, 300, 300},
    {"star before what is named", AE "*, br;q=0, identity;q=0.1", 100, 1000, 1000, NO},
    {"star refused", AE "*;q=0", NO, NO, NO, NO},
    {"all but one refused", AE "gzip;q=0.5, *;q=0", NO, 500, NO, NO},
    {"star refused, identity named", AE "identity, *;q=0", 1000, NO, NO, NO},
    {"two stars", AE "*;q=0.5, *;q=0.2", 200, 200, 200, 200},
    {"several lines", AE "gzip;q=0.5\na: b\n" AE "\n" AE "br", 0, 500, NO, 1000},
    {"duplicates: the least", AE "gzip, gzip;q=0.2, gzip;q=0.7", 0, 200, NO, NO},
    {"duplicates over lines, refused", AE "gzip;q=0\n" AE "gzip", 0, NO, NO, NO},
    {"identity twice", AE "identity;q=0, identity", NO, NO, NO, NO},
    {"no number", AE "gzip;q=x, br", 0, NO, NO, 1000},
    {"above 1", AE "gzip;q=1.001, zstd;q=2, br;q=10", 0, NO, NO, NO},
    {"below 0", AE "gzip;q=-1", 0, NO, NO, NO},
    {"too many digits", AE "gzip;q=0.1234", 0, NO, NO, NO},
    {"no value", AE "gzip;q=", 0, NO, NO, NO},
    {"a malformed star counts as absent", AE "*;q=x, gzip", 0, 1000, NO, NO},
    {"a malformed identity, too", AE "identity;q=00", 0, NO, NO, NO},
    {"a weight alone", AE ";q=1, gzip", 0, 1000, NO, NO},
    {"no token", AE "gz ip, \"gzip\", gzip/1", 0, NO, NO, NO},
    {"an open quote takes the rest", AE "br, \"gzip, zstd", 0, NO, NO, 1000},
    {"a browser", AE "gzip, deflate, br, zstd", 0, 1000, 1000, 1000},
};

static void test_accept(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(accept_rows); i++) {
        struct arena arena;
        struct policy_accept got;
        arena_init(&arena, 65536);
        struct http_fields f = lines(&arena, accept_rows[i].request);
        policy_encoding_accept(&f, &got);
        if (got.weight[POLICY_IDENTITY] != accept_rows[i].identity ||
            got.weight[POLICY_GZIP] != accept_rows[i].gzip ||
            got.weight[POLICY_ZSTD] != accept_rows[i].zstd ||
            got.weight[POLICY_BROTLI] != accept_rows[i].br)
            fail_msg("%s: identity %d, gzip %d, zstd %d, br %d", accept_rows[i].why,
                     got.weight[POLICY_IDENTITY], got.weight[POLICY_GZIP],
                     got.weight[POLICY_ZSTD], got.weight[POLICY_BROTLI]);
        arena_fini(&arena);
    }
}

/* All rows one after the other with one memory, each twice. */
static void test_accept_again(void **state)
{
    (void)state;
    struct policy_accept_memo memo = {.len = 0};
    for (size_t i = 0; i < 2 * ARRAY_LEN(accept_rows); i++) {
        struct arena arena;
        struct policy_accept got, want;
        arena_init(&arena, 65536);
        struct http_fields f = lines(&arena, accept_rows[i / 2].request);
        policy_encoding_accept(&f, &want);
        enum policy_encoding top = policy_encoding_accept_again(&memo, &f, &got);
        if (memcmp(&got, &want, sizeof(got)) != 0)
            fail_msg("%s, time %zu", accept_rows[i / 2].why, i % 2 + 1);
        /* Whatever forms there are beside it, nothing else is picked. */
        for (unsigned made = 0; top != POLICY_IDENTITY && made < 16; made++)
            for (unsigned base = 0; base < POLICY_ENCODINGS; base++) {
                struct policy_forms forms = {
                    .base = (enum policy_encoding)base,
                    .made = (uint8_t)((made | POLICY_BIT(top)) & ~(1u << base))};
                struct policy_form is;
                policy_encoding_pick(&got, &forms, false, &is);
                if (is.encoding != top)
                    fail_msg("%s: top %d, picked %d", accept_rows[i / 2].why, top, is.encoding);
            }
        arena_fini(&arena);
    }
}

static void test_accept_many(void **state)
{
    (void)state;
    char value[4096];
    size_t len = 0;
    for (int i = 0; i < 100; i++)
        len += (size_t)sprintf(value + len, "x%d;q=0.%d, gzip;q=0.%d, ", i, i % 10, 9 - i % 9);
    len += (size_t)sprintf(value + len, "br");
    struct http_field field = {SPAN("accept-encoding"), span_of(value, len),
                               HTTP_NAME_ACCEPT_ENCODING};
    struct http_fields f = {&field, 1, 1};
    struct policy_accept got;
    policy_encoding_accept(&f, &got);
    assert_int_equal(got.weight[POLICY_GZIP], 100);
    assert_int_equal(got.weight[POLICY_BROTLI], 1000);
    assert_int_equal(got.weight[POLICY_ZSTD], POLICY_REFUSED);
    assert_int_equal(got.weight[POLICY_IDENTITY], 0);
}

#define CE "content-encoding: "

static const struct {
    const char *why;
    unsigned status;
    const char *response;
    enum policy_encoding want;
    bool may_change;
} stored_rows[] = {
    {"absent", 200, "a: b", POLICY_IDENTITY, true},
    {"empty", 200, CE, POLICY_IDENTITY, true},
    {"identity", 200, CE "Identity", POLICY_IDENTITY, true},
    {"identity again", 200, CE "identity, identity\n" CE "identity", POLICY_IDENTITY, true},
    {"gzip", 200, CE "gzip", POLICY_GZIP, true},
    {"upper case", 200, CE "GZIP", POLICY_GZIP, true},
    {"x-gzip", 200, CE "x-gzip", POLICY_GZIP, true},
    {"zstd", 200, CE "zstd", POLICY_ZSTD, true},
    {"br cannot be taken apart", 200, CE "br", POLICY_BROTLI, false},
    {"identity beside one", 200, CE "identity, gzip,", POLICY_GZIP, true},
    {"unknown", 200, CE "deflate", POLICY_ENCODING_OTHER, false},
    {"with a weight it is none that we know", 200, CE "gzip;q=1", POLICY_ENCODING_OTHER, false},
    {"two", 200, CE "gzip, zstd", POLICY_ENCODING_OTHER, false},
    {"the same twice", 200, CE "gzip\n" CE "gzip", POLICY_ENCODING_OTHER, false},
    {"any status with a body", 404, "a: b", POLICY_IDENTITY, true},
    {"a part", 206, "a: b", POLICY_IDENTITY, false},
    {"no content", 204, "a: b", POLICY_IDENTITY, false},
    {"not modified", 304, CE "gzip", POLICY_GZIP, false},
    {"informational", 103, "a: b", POLICY_IDENTITY, false},
    {"Content-Range in a 200", 200, "content-range: bytes 0-1/2", POLICY_IDENTITY, false},
    {"no-transform", 200, "cache-control: max-age=1, No-Transform", POLICY_IDENTITY, false},
    {"in a second line", 200, "cache-control: a\ncache-control: no-transform\n" CE "gzip",
     POLICY_GZIP, false},
    {"with an argument", 200, "cache-control: no-transform=1", POLICY_IDENTITY, false},
    {"for CDNs", 200, "cdn-cache-control: no-transform;a", POLICY_IDENTITY, false},
    {"for surrogates", 200, "surrogate-control: no-transform", POLICY_IDENTITY, false},
    {"only quoted", 200, "cache-control: x=\"a, no-transform\"", POLICY_IDENTITY, true},
    {"another directive", 200, "cache-control: no-transforms", POLICY_IDENTITY, true},
};

static void test_stored(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(stored_rows); i++) {
        struct arena arena;
        arena_init(&arena, 65536);
        struct http_fields f = lines(&arena, stored_rows[i].response);
        enum policy_encoding e = policy_encoding_of(&f);
        if (e != stored_rows[i].want)
            fail_msg("%s: %d", stored_rows[i].why, e);
        if (policy_encoding_may_change(stored_rows[i].status, &f) != stored_rows[i].may_change)
            fail_msg("%s: may change", stored_rows[i].why);
        arena_fini(&arena);
    }
}

#define CT "content-type: "

static const struct {
    const char *why, *response;
    int64_t body_bytes;
    bool want;
} worth_rows[] = {
    {"a type by name", CT "application/javascript", 1000, true},
    {"a star at the end", CT "text/css", 1000, true},
    {"a star inside", CT "application/ld+json", 1000, true},
    {"case", CT "TEXT/Html", 1000, true},
    {"parameters", CT "text/html; charset=utf-8", 1000, true},
    {"a space before them", CT "application/javascript ;a=b", 1000, true},
    {"another type", CT "image/png", 1000, false},
    {"a longer type", CT "application/javascripts", 1000, false},
    {"a type inside a parameter", CT "image/png; x=text/css", 1000, false},
    {"no type", "a: b", 1000, false},
    {"an empty type", CT, 1000, false},
    {"parameters alone", CT ";text/css", 1000, false},
    {"events", CT "text/event-stream", 1000, false},
    {"events, with parameters and case", CT "Text/Event-Stream;charset=utf-8", 1000, false},
    {"the first of two lines", CT "image/png\n" CT "text/css", 1000, false},
    {"one byte too short", CT "text/css", 511, false},
    {"nothing", CT "text/css", 0, false},
    {"the least", CT "text/css", 512, true},
    {"the most", CT "text/css", 4096, true},
    {"one byte too long", CT "text/css", 4097, false},
    {"huge", CT "text/css", INT64_MAX, false},
    {"length unknown", CT "text/css", HTTP_LENGTH_UNKNOWN, true},
    {"encoded: by the type alone", CT "text/css\n" CE "gzip", 1, true},
    {"encoded, and long", CT "text/css\n" CE "br", 99999, true},
    {"encoded, another type", CT "image/png\n" CE "gzip", 1000, false},
};

static void test_worth(void **state)
{
    (void)state;
    const char *types[] = {"application/javascript", "text/*", "application/*+json"};
    struct conf_variants conf = {
        .types = {types, ARRAY_LEN(types)}, .min_bytes = 512, .max_bytes = 4096};
    for (size_t i = 0; i < ARRAY_LEN(worth_rows); i++) {
        struct arena arena;
        arena_init(&arena, 65536);
        struct http_fields f = lines(&arena, worth_rows[i].response);
        if (policy_encoding_is_worth(&conf, &f, worth_rows[i].body_bytes) != worth_rows[i].want)
            fail_msg("%s", worth_rows[i].why);
        arena_fini(&arena);
    }
    conf.types.count = 0;
    struct http_field field = {SPAN("content-type"), SPAN("text/css"), HTTP_NAME_CONTENT_TYPE};
    struct http_fields f = {&field, 1, 1};
    assert_false(policy_encoding_is_worth(&conf, &f, 1000));
}

static const struct {
    const char *why, *response, *want;
    bool varies; /* before */
} vary_rows[] = {
    {"none", "a: b", "a: b\nvary: Accept-Encoding\n", false},
    {"no field at all", "", "vary: Accept-Encoding\n", false},
    {"one", "vary: Origin\na: b", "a: b\nvary: Origin, Accept-Encoding\n", false},
    {"several lines", "vary: a ,b\na: b\nvary: \nvary: c",
     "a: b\nvary: a, b, c, Accept-Encoding\n", false},
    {"an empty line", "vary: ", "vary: Accept-Encoding\n", false},
    {"commas alone", "vary: ,,", "vary: Accept-Encoding\n", false},
    {"star", "vary: *", "vary: *\n", false},
    {"star in a list", "vary: a\nvary: b, *", "vary: a\nvary: b, *\n", false},
    {"there", "vary: Accept-Encoding", "vary: Accept-Encoding\n", true},
    {"there in other case", "vary: a,ACCEPT-encoding", "vary: a,ACCEPT-encoding\n", true},
    {"there in a second line", "vary: a\nvary: accept-encoding",
     "vary: a\nvary: accept-encoding\n", true},
    {"a longer name", "vary: Accept-Encoding-X", "vary: Accept-Encoding-X, Accept-Encoding\n",
     false},
};

static void test_vary(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(vary_rows); i++) {
        struct arena arena, full;
        arena_init(&arena, 65536);
        arena_init(&full, 1);
        struct http_fields f = lines(&arena, vary_rows[i].response);
        struct span before = unlines(&arena, &f);
        if (policy_encoding_varies(&f) != vary_rows[i].varies)
            fail_msg("%s: varies", vary_rows[i].why);
        bool changes = !span_equal(before, span_text(vary_rows[i].want));
        assert_int_equal(policy_encoding_vary(&f, &full), !changes);
        ASSERT_SPAN(vary_rows[i].why, unlines(&arena, &f), before);
        for (int again = 0; again < 2; again++) {
            assert_true(policy_encoding_vary(&f, &arena));
            ASSERT_SPAN(vary_rows[i].why, unlines(&arena, &f), span_text(vary_rows[i].want));
        }
        arena_fini(&full);
        arena_fini(&arena);
    }
}

/* --- the choice: i identity, g gzip, z zstd, b br, o other --- */

static const char letters[] = "igzbo";

static enum policy_encoding encoding_of_letter(char c)
{
    return (enum policy_encoding)(strchr(letters, c) - letters);
}

static uint8_t bits(const char *text)
{
    uint8_t all = 0;
    for (; *text; text++)
        all |= POLICY_BIT(encoding_of_letter(*text));
    return all;
}

#define DECODES true
#define PARTS true

static const struct {
    const char *why, *accept;
    char base;
    const char *made, *quick, *later;
    bool decodes, parts;
    const char *want; /* B as received, M made, E encoded, D decoded now; which; ! refused */
    const char *wanted;
} pick_rows[] = {
    /* stored as identity */
    {"nothing said", "", 'i', "gz", "gz", "gz", false, false, "Bi", ""},
    {"gzip, nothing made", "gzip", 'i', "", "", "", false, false, "Bi", ""},
    {"gzip, only later", "gzip", 'i', "", "", "gz", false, false, "Bi", "g"},
    {"gzip, quickly", "gzip", 'i', "", "gz", "gz", false, false, "Eg", "g"},
    {"gzip, quickly and never whole", "gzip", 'i', "", "gz", "", false, false, "Eg", ""},
    {"gzip, made", "gzip", 'i', "g", "gz", "gz", false, false, "Mg", ""},
    {"zstd, gzip made", "zstd", 'i', "g", "", "z", false, false, "Bi", "z"},
    {"zstd, quickly", "zstd", 'i', "g", "z", "z", false, false, "Ez", "z"},
    {"both, nothing made", "gzip, zstd", 'i', "", "gz", "gz", false, false, "Ez", "z"},
    {"both, gzip made: whole before now", "gzip, zstd", 'i', "g", "gz", "gz", false, false,
     "Mg", "z"},
    {"both made", "gzip, zstd", 'i', "gz", "gz", "gz", false, false, "Mz", ""},
    {"gzip likes better than zstd", "gzip, zstd;q=0.9", 'i', "gz", "", "", false, false, "Mg",
     ""},
    {"the heavier one now before a whole lighter one", "gzip, zstd;q=0.9", 'i', "z", "g", "g",
     false, false, "Eg", "g"},
    {"the heavier one only later", "gzip, zstd;q=0.9", 'i', "z", "", "g", false, false, "Mz",
     "g"},
    {"only one can be made later", "gzip, zstd", 'i', "", "gz", "g", false, false, "Ez", "g"},
    {"the lighter one later is not wanted", "gzip;q=0.5, zstd", 'i', "", "z", "g", false, false,
     "Ez", ""},
    {"identity outweighs", "identity, gzip;q=0.5", 'i', "gz", "gz", "gz", false, false, "Bi",
     ""},
    {"identity weighs the same: made before", "identity, gzip", 'i', "g", "", "", false, false,
     "Mg", ""},
    {"but not what is encoded now", "identity, gzip", 'i', "", "g", "", false, false, "Bi", ""},
    {"though later", "identity, gzip", 'i', "", "g", "g", false, false, "Bi", "g"},
    {"br, which is never made", "br", 'i', "gz", "gz", "gz", false, false, "Bi", ""},
    {"br or gzip", "br, gzip", 'i', "g", "gz", "gz", false, false, "Mg", ""},
    {"star", "*", 'i', "gz", "", "", false, false, "Mz", ""},
    {"all refused", "*;q=0", 'i', "gz", "gz", "gz", false, false, "Bi!", ""},
    {"identity refused, gzip now", "gzip, identity;q=0", 'i', "", "g", "g", false, false, "Eg",
     "g"},
    {"identity refused, gzip later", "gzip, identity;q=0", 'i', "", "", "g", false, false,
     "Bi!", "g"},
    {"only br, no identity", "br, *;q=0", 'i', "gz", "gz", "gz", false, false, "Bi!", ""},
    /* stored as gzip */
    {"gzip taken", "gzip", 'g', "", "", "iz", DECODES, false, "Bg", ""},
    {"nothing said: decoded now", "", 'g', "", "z", "iz", DECODES, false, "Di", "i"},
    {"decoded now, never whole", "", 'g', "", "z", "z", DECODES, false, "Di", ""},
    {"decoded already", "", 'g', "i", "z", "iz", DECODES, false, "Mi", ""},
    {"cannot be decoded", "", 'g', "", "", "", false, false, "Bg!", ""},
    {"zstd: decoded now", "zstd", 'g', "", "", "z", DECODES, false, "Di", "z"},
    {"zstd now", "zstd", 'g', "", "z", "z", DECODES, false, "Ez", "z"},
    {"zstd made", "zstd", 'g', "z", "", "", DECODES, false, "Mz", ""},
    {"zstd is better, later", "gzip, zstd", 'g', "", "z", "z", DECODES, false, "Bg", "z"},
    {"zstd made is better", "gzip, zstd", 'g', "z", "", "", DECODES, false, "Mz", ""},
    {"zstd outweighs", "gzip;q=0.5, zstd", 'g', "", "z", "z", DECODES, false, "Ez", "z"},
    {"identity weighs the same", "identity, gzip", 'g', "", "", "i", DECODES, false, "Bg", ""},
    {"the same, decoded already", "identity, gzip", 'g', "i", "", "", DECODES, false, "Bg", ""},
    {"identity outweighs", "identity, gzip;q=0.5", 'g', "", "", "i", DECODES, false, "Di", "i"},
    {"gzip barely taken", "gzip;q=0.001", 'g', "", "", "i", DECODES, false, "Bg", ""},
    {"gzip refused beside a star", "*, gzip;q=0", 'g', "", "", "i", DECODES, false, "Di", "i"},
    {"all refused", "*;q=0", 'g', "", "z", "iz", DECODES, false, "Di!", ""},
    {"all refused, decoded already", "*;q=0", 'g', "i", "", "", DECODES, false, "Mi!", ""},
    {"all refused, nothing else", "*;q=0", 'g', "", "", "", false, false, "Bg!", ""},
    /* stored as zstd */
    {"zstd taken", "gzip, zstd", 'z', "g", "", "gi", DECODES, false, "Bz", ""},
    {"gzip made of it", "gzip", 'z', "g", "", "gi", DECODES, false, "Mg", ""},
    {"gzip now", "gzip", 'z', "", "g", "gi", DECODES, false, "Eg", "g"},
    {"nothing said", "", 'z', "g", "g", "gi", DECODES, false, "Di", "i"},
    /* stored as br */
    {"br taken", "gzip, br", 'b', "", "", "", false, false, "Bb", ""},
    {"br not taken", "gzip", 'b', "", "", "", false, false, "Bb!", ""},
    {"nothing said", "", 'b', "", "", "", false, false, "Bb!", ""},
    {"br, zstd made beside it", "zstd, br", 'b', "z", "", "", false, false, "Mz", ""},
    {"br before gzip", "gzip, br", 'b', "g", "", "", false, false, "Bb", ""},
    /* stored as something else: who knows */
    {"other", "gzip", 'o', "", "", "", false, false, "Bo", ""},
    {"other, all refused", "*;q=0", 'o', "", "", "", false, false, "Bo", ""},
    /* parts */
    {"of identity", "gzip, zstd", 'i', "gz", "gz", "gz", false, PARTS, "Bi", ""},
    {"of identity, refused", "gzip, identity;q=0", 'i', "gz", "gz", "gz", false, PARTS, "Bi!",
     ""},
    {"of one decoded", "gzip", 'g', "i", "z", "iz", DECODES, PARTS, "Mi", ""},
    {"of one decoded now", "gzip", 'g', "", "z", "iz", DECODES, PARTS, "Di", "i"},
    {"of gzip, identity refused", "gzip, identity;q=0", 'g', "", "z", "iz", DECODES, PARTS,
     "Bg", ""},
    {"of gzip, all refused", "*;q=0", 'g', "", "z", "iz", DECODES, PARTS, "Di!", ""},
    {"of br", "br", 'b', "", "", "", false, PARTS, "Bb", ""},
    {"of br, not taken", "gzip", 'b', "", "", "", false, PARTS, "Bb!", ""},
    {"of other", "gzip", 'o', "", "", "", false, PARTS, "Bo", ""},
};

static void test_pick(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pick_rows); i++) {
        struct http_field field = {SPAN("accept-encoding"), span_text(pick_rows[i].accept),
                                   HTTP_NAME_ACCEPT_ENCODING};
        struct http_fields f = {&field, 1, 1};
        struct policy_forms forms = {encoding_of_letter(pick_rows[i].base),
                                     bits(pick_rows[i].made), bits(pick_rows[i].quick),
                                     bits(pick_rows[i].later), pick_rows[i].decodes};
        struct policy_accept accept;
        struct policy_form got;
        policy_encoding_accept(&f, &accept);
        policy_encoding_pick(&accept, &forms, pick_rows[i].parts, &got);
        char text[4] = {"BMED"[got.how], letters[got.encoding], got.refused ? '!' : 0};
        if (strcmp(text, pick_rows[i].want) != 0 || got.wanted != bits(pick_rows[i].wanted))
            fail_msg("row %zu, %s: got %s, want %s; wanted %x", i, pick_rows[i].why, text,
                     pick_rows[i].want, got.wanted);
    }
}

/* May the client have `e`, and whole? */
static bool is_had(const struct policy_forms *f, enum policy_encoding e, bool *out_there)
{
    *out_there = e == f->base || (f->made & POLICY_BIT(e));
    return *out_there || (e == POLICY_IDENTITY ? f->decodes : (f->quick & POLICY_BIT(e)) != 0);
}

static void check_pick(const struct policy_accept *accept, const struct policy_forms *f)
{
    struct policy_form got;
    bool there, any = false, is_there;
    policy_encoding_pick(accept, f, false, &got);
    assert_true(is_had(f, got.encoding, &is_there));
    assert_int_equal(is_there, got.how == POLICY_FORM_BASE || got.how == POLICY_FORM_MADE);
    assert_int_equal(got.how == POLICY_FORM_BASE, got.encoding == f->base);
    int weight = got.encoding == POLICY_ENCODING_OTHER ? NO : accept->weight[got.encoding];
    for (unsigned i = 0; i < POLICY_ENCODINGS; i++) {
        enum policy_encoding e = (enum policy_encoding)i;
        if (!is_had(f, e, &there) || accept->weight[e] == NO)
            continue;
        any = true;
        assert_true(accept->weight[e] <= weight);
        assert_true(is_there || !there || accept->weight[e] < weight);
    }
    assert_int_equal(got.refused, !any && got.encoding != POLICY_ENCODING_OTHER);
    assert_int_equal(got.wanted & ~(f->later & ~f->made & ~POLICY_BIT(f->base)), 0);
    assert_int_equal(got.wanted & (got.wanted - 1), 0);
    for (unsigned i = 0; got.wanted && i < POLICY_ENCODINGS; i++)
        if (got.wanted == POLICY_BIT(i))
            assert_true(accept->weight[i] != NO && accept->weight[i] >= weight);
    policy_encoding_pick(accept, f, true, &got);
    if (is_had(f, POLICY_IDENTITY, &there) && accept->weight[POLICY_IDENTITY] != NO)
        assert_int_equal(got.encoding, POLICY_IDENTITY);
    else
        assert_true(got.encoding == POLICY_IDENTITY || got.encoding == f->base);
}

/* All combinations of what is there and how it is weighed keep the rules. */
static void test_pick_all(void **state)
{
    (void)state;
    static const int16_t weights[] = {NO, 0, 500, 1000};
    const uint8_t makeable = POLICY_MAKEABLE | POLICY_BIT(POLICY_IDENTITY);
    for (unsigned w = 0; w < 256; w++) {
        struct policy_accept accept = {
            {weights[w & 3], weights[w >> 2 & 3], weights[w >> 4 & 3], weights[w >> 6]}};
        for (unsigned n = 0; n < 5 * 8 * 4 * 8 * 2; n++) {
            unsigned rest = n / 5;
            struct policy_forms f = {.base = (enum policy_encoding)(n % 5)};
            f.made = (uint8_t)(rest % 8 & makeable);
            f.quick = (uint8_t)((rest / 8 % 4) << 1);
            f.later = (uint8_t)(rest / 32 % 8);
            f.decodes = rest / 256;
            check_pick(&accept, &f);
        }
    }
}

/* --- what a made form says --- */

static const struct {
    const char *why, *base;
    enum policy_encoding to;
    const char *want;
} field_rows[] = {
    {"encoded", "content-type: text/css\netag: \"a\"\ndate: x", POLICY_ZSTD,
     "content-type: text/css\netag: W/\"a-zstd\"\ndate: x\ncontent-encoding: zstd\n"},
    {"decoded", "content-encoding: gzip\netag: W/\"a\"\nx: y", POLICY_IDENTITY,
     "etag: W/\"a-identity\"\nx: y\n"},
    {"encoded anew", "x: y\ncontent-encoding: x-gzip\ncontent-encoding: identity", POLICY_ZSTD,
     "x: y\ncontent-encoding: zstd\n"},
    {"nothing about bytes and parts is kept",
     "accept-ranges: bytes\ncontent-md5: a\nDigest: b\ncontent-digest: c\nrepr-digest: d\n"
     "last-modified: e\nvary: f\nset-cookie: g\nset-cookie: h",
     POLICY_GZIP,
     "last-modified: e\nvary: f\nset-cookie: g\nset-cookie: h\ncontent-encoding: gzip\n"},
    {"a tag that is none", "etag: a\nx: y", POLICY_GZIP, "x: y\ncontent-encoding: gzip\n"},
    {"no fields", "", POLICY_IDENTITY, ""},
};

static void test_fields(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(field_rows); i++) {
        struct arena arena, full;
        struct http_fields out = {0}, none = {0};
        arena_init(&arena, 65536);
        arena_init(&full, 1);
        struct http_fields f = lines(&arena, field_rows[i].base);
        assert_true(policy_encoding_fields(&f, field_rows[i].to, &arena, &out));
        ASSERT_SPAN(field_rows[i].why, unlines(&arena, &out), span_text(field_rows[i].want));
        assert_int_equal(policy_encoding_fields(&f, field_rows[i].to, &full, &none),
                         !*field_rows[i].want);
        arena_fini(&full);
        arena_fini(&arena);
    }
}

static const struct {
    const char *base;
    enum policy_encoding to;
    const char *want;
} etag_rows[] = {
    {"\"x\"", POLICY_ZSTD, "W/\"x-zstd\""},
    {"W/\"x\"", POLICY_GZIP, "W/\"x-gzip\""},
    {"\"x\"", POLICY_IDENTITY, "W/\"x-identity\""},
    {"\"\"", POLICY_GZIP, "W/\"-gzip\""},
    {"W/\"x-gzip\"", POLICY_ZSTD, "W/\"x-gzip-zstd\""},
    {"\"a b,c\\\"", POLICY_GZIP, "W/\"a b,c\\-gzip\""},
    {"", POLICY_GZIP, ""},
    {"x", POLICY_GZIP, ""},
    {"\"x", POLICY_GZIP, ""},
    {"x\"", POLICY_GZIP, ""},
    {"w/\"x\"", POLICY_GZIP, ""},
    {"\"x\"y\"", POLICY_GZIP, ""},
};

static void test_etags(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(etag_rows); i++) {
        struct arena arena;
        struct span got, base = span_text(etag_rows[i].base);
        enum policy_encoding e = POLICY_ENCODING_OTHER;
        arena_init(&arena, 65536);
        assert_true(policy_encoding_etag(base, etag_rows[i].to, &arena, &got));
        ASSERT_SPAN(etag_rows[i].base, got, span_text(etag_rows[i].want));
        assert_int_equal(policy_encoding_etag_is_of(got, base, &e), got.len > 0);
        if (got.len)
            assert_int_equal(e, etag_rows[i].to);
        arena_fini(&arena);
    }
    struct arena full;
    struct span got;
    arena_init(&full, 1);
    assert_false(policy_encoding_etag(SPAN("\"x\""), POLICY_GZIP, &full, &got));
    arena_fini(&full);
}

static const struct {
    const char *tag, *base;
    int want; /* -1: no */
} etag_of_rows[] = {
    {"W/\"x-gzip\"", "\"x\"", POLICY_GZIP},
    {"W/\"x-zstd\"", "W/\"x\"", POLICY_ZSTD},
    {"W/\"x-identity\"", "\"x\"", POLICY_IDENTITY},
    {"W/\"-gzip\"", "\"\"", POLICY_GZIP},
    {"W/\"x-gzip-zstd\"", "\"x-gzip\"", POLICY_ZSTD},
    {"W/\"x-gzip-zstd\"", "\"x\"", -1},
    {"\"x-gzip\"", "\"x\"", -1}, /* ours are weak */
    {"W/\"x-br\"", "\"x\"", -1},
    {"W/\"x-GZIP\"", "\"x\"", -1},
    {"W/\"xgzip\"", "\"x\"", -1},
    {"W/\"gzip\"", "\"\"", -1},
    {"W/\"x\"", "\"x\"", -1},
    {"W/\"y-gzip\"", "\"x\"", -1},
    {"W/\"xx-gzip\"", "\"x\"", -1},
    {"W/\"x-gzip", "\"x\"", -1},
    {"W/\"x-gzip\"", "x", -1},
    {"W/\"x-gzip\"", "", -1},
    {"", "\"x\"", -1},
    {"*", "\"x\"", -1},
};

static void test_etag_is_of(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(etag_of_rows); i++) {
        enum policy_encoding e = POLICY_ENCODING_OTHER;
        bool is = policy_encoding_etag_is_of(span_text(etag_of_rows[i].tag),
                                             span_text(etag_of_rows[i].base), &e);
        if ((is ? (int)e : -1) != etag_of_rows[i].want)
            fail_msg("%s of %s: %d", etag_of_rows[i].tag, etag_of_rows[i].base, e);
    }
}

/* --- towards the origin --- */

static void test_ask(void **state)
{
    (void)state;
    static const char *const want[] = {"identity", "gzip",       "br",       "br, gzip",
                                       "zstd",     "zstd, gzip", "zstd, br", "zstd, br, gzip"};
    for (unsigned i = 0; i < ARRAY_LEN(want) + 1; i++) {
        struct arena arena;
        struct span value;
        arena_init(&arena, 65536);
        struct conf_variants conf = {
            .fetch_zstd = i & 4, .fetch_br = i & 2, .fetch_gzip = i & 1};
        bool none = i == ARRAY_LEN(want);
        struct http_fields f =
            lines(&arena, "accept-encoding: gzip, *\na: b\naccept-encoding: x");
        assert_true(policy_encoding_ask(&f, none ? NULL : &conf, &arena));
        assert_int_equal(http_fields_count(&f, HTTP_NAME_ACCEPT_ENCODING), 1);
        assert_true(http_fields_join(&f, HTTP_NAME_ACCEPT_ENCODING, &arena, &value));
        ASSERT_SPAN("asked", value, span_text(none ? "identity" : want[i]));
        assert_non_null(http_fields_find_text(&f, SPAN("a")));
        arena_fini(&arena);
    }
    struct arena full;
    struct http_fields f = {0};
    arena_init(&full, 1);
    assert_false(policy_encoding_ask(&f, NULL, &full));
    arena_fini(&full);
}

#define INM "if-none-match: "

static const struct {
    const char *why, *request, *want;
} back_rows[] = {
    {"none", "a: b", "a: b\n"},
    {"the origin's own", INM "\"x\", W/\"y\"", INM "\"x\", W/\"y\"\n"},
    {"ours", INM "W/\"x-zstd\"", INM "W/\"x\", W/\"x-zstd\"\n"},
    {"all of ours", INM "W/\"x-zstd\",W/\"y-gzip\", \"z\", W/\"-identity\"",
     INM "W/\"x\", W/\"y\", W/\"\", W/\"x-zstd\",W/\"y-gzip\", \"z\", W/\"-identity\"\n"},
    {"in several lines", INM "\"x\"\na: b\n" INM "W/\"x-gzip\"",
     INM "\"x\"\na: b\n" INM "W/\"x\", W/\"x-gzip\"\n"},
    {"a strong one is not ours", INM "\"x-gzip\"", INM "\"x-gzip\"\n"},
    {"star", INM "*", INM "*\n"},
    {"an open quote", INM "W/\"x-gzip\", \"y", INM "W/\"x\", W/\"x-gzip\", \"y\n"},
    {"other conditions", "if-match: W/\"x-gzip\"\nif-range: W/\"x-gzip\"",
     "if-match: W/\"x-gzip\"\nif-range: W/\"x-gzip\"\n"},
};

static void test_map_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(back_rows); i++) {
        struct arena arena, full;
        arena_init(&arena, 65536);
        arena_init(&full, 1);
        struct http_fields f = lines(&arena, back_rows[i].request);
        struct span before = unlines(&arena, &f);
        bool changes = !span_equal(before, span_text(back_rows[i].want));
        assert_int_equal(policy_encoding_map_back(&f, &full), !changes);
        ASSERT_SPAN(back_rows[i].why, unlines(&arena, &f), before);
        assert_true(policy_encoding_map_back(&f, &arena));
        ASSERT_SPAN(back_rows[i].why, unlines(&arena, &f), span_text(back_rows[i].want));
        arena_fini(&full);
        arena_fini(&arena);
    }
}

static const struct {
    const char *why, *request, *response, *want;
} forth_rows[] = {
    {"ours again", INM "W/\"x-zstd\"", "etag: \"x\"\na: b", "etag: W/\"x-zstd\"\na: b\n"},
    {"of a weak one", INM "W/\"x-zstd\"", "a: b\netag: W/\"x\"", "a: b\netag: W/\"x-zstd\"\n"},
    {"the client has the origin's, too", INM "W/\"x-zstd\", \"x\"", "etag: \"x\"",
     "etag: \"x\"\n"},
    {"weakly, too, in another line", INM "W/\"x-zstd\"\n" INM "W/\"x\"", "etag: \"x\"",
     "etag: \"x\"\n"},
    {"the first of two", INM "\"y\", W/\"x-gzip\", W/\"x-zstd\"", "etag: \"x\"",
     "etag: W/\"x-gzip\"\n"},
    {"a tag of its own that looks like ours", INM "W/\"x-gzip\"", "etag: W/\"x-gzip\"",
     "etag: W/\"x-gzip\"\n"},
    {"nothing of the client's", INM "W/\"y-gzip\"", "etag: \"x\"", "etag: \"x\"\n"},
    {"no condition", "a: b", "etag: \"x\"", "etag: \"x\"\n"},
    {"another condition", "if-match: W/\"x-gzip\"", "etag: \"x\"", "etag: \"x\"\n"},
    {"star", INM "*", "etag: \"x\"", "etag: \"x\"\n"},
    {"no tag", INM "W/\"x-zstd\"", "a: b", "a: b\n"},
};

static void test_map_forth(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(forth_rows); i++) {
        struct arena arena, full;
        arena_init(&arena, 65536);
        arena_init(&full, 1);
        struct http_fields request = lines(&arena, forth_rows[i].request);
        struct http_fields response = lines(&arena, forth_rows[i].response);
        struct span before = unlines(&arena, &response);
        bool changes = !span_equal(before, span_text(forth_rows[i].want));
        assert_int_equal(policy_encoding_map_forth(&request, &response, &full), !changes);
        ASSERT_SPAN(forth_rows[i].why, unlines(&arena, &response), before);
        assert_true(policy_encoding_map_forth(&request, &response, &arena));
        ASSERT_SPAN(forth_rows[i].why, unlines(&arena, &response),
                    span_text(forth_rows[i].want));
        arena_fini(&full);
        arena_fini(&arena);
    }
}

static void test_texts(void **state)
{
    (void)state;
    ASSERT_SPAN("identity", policy_encoding_text(POLICY_IDENTITY), SPAN("identity"));
    ASSERT_SPAN("gzip", policy_encoding_text(POLICY_GZIP), SPAN("gzip"));
    ASSERT_SPAN("zstd", policy_encoding_text(POLICY_ZSTD), SPAN("zstd"));
    ASSERT_SPAN("br", policy_encoding_text(POLICY_BROTLI), SPAN("br"));
    ASSERT_SPAN("other", policy_encoding_text(POLICY_ENCODING_OTHER), SPAN("other"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accept),      cmocka_unit_test(test_accept_again),
        cmocka_unit_test(test_accept_many), cmocka_unit_test(test_stored),
        cmocka_unit_test(test_worth),       cmocka_unit_test(test_vary),
        cmocka_unit_test(test_pick),        cmocka_unit_test(test_pick_all),
        cmocka_unit_test(test_fields),      cmocka_unit_test(test_etags),
        cmocka_unit_test(test_etag_is_of),  cmocka_unit_test(test_ask),
        cmocka_unit_test(test_map_back),    cmocka_unit_test(test_map_forth),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
