/* tests/unit/cache/memory/encoding.h - a stage with an encoder; most tests run its jobs
 * themselves.
 */
#pragma once

#include "base/counter.h"
#include "cache/memory/job.h"
#include "tests/unit/cache/memory/stage.h"

#define ZSTD POLICY_BIT(POLICY_ZSTD)
#define GZIP POLICY_BIT(POLICY_GZIP)
#define PLAIN POLICY_BIT(POLICY_IDENTITY)
#define SMALL 20000u
#define LARGE (3u << 20)

/* A stage with an encoder; most tests run its jobs themselves. */
struct workshop {
    struct stage stage;
    struct memory_encoder *encoder;
    uint64_t counted[COUNTER_COUNT];
};

static inline void start(struct workshop *s, unsigned threads)
{
    s->encoder = s->stage.tier.encoder = memory_encoder_create(&s->stage.tier, threads);
    memory_encoder_set_budget(s->encoder, 10000);
    for (enum counter c = 0; c < COUNTER_COUNT; c++)
        s->counted[c] = counter_sum(c);
}

static inline void begin(struct workshop *s, bool disk, unsigned threads)
{
    stage_open(&s->stage, disk);
    start(s, threads);
}

static inline void finish(struct workshop *s)
{
    stage_close(&s->stage);
    stage_remove(&s->stage);
}

static inline uint64_t waiting(struct workshop *s)
{
    struct memory_encoder_figures f;
    memory_encoder_figures(s->encoder, &f);
    return f.waiting;
}

/* Runs what can be run now. */
static inline uint64_t left(struct workshop *s)
{
    if (s->encoder->threads == 0)
        (void)memory_encoder_run(s->encoder);
    return waiting(s);
}

static inline uint64_t counted(const struct workshop *s, enum counter c)
{
    return counter_sum(c) - s->counted[c];
}

static inline unsigned asked(const struct memory_object *o)
{
    return atomic_load(&o->asked);
}

static inline unsigned marks(struct workshop *s, const char *path)
{
    struct memory_object *o = stage_now(&s->stage, path);
    must(o);
    unsigned is = atomic_load(&o->marks);
    memory_object_drop(o);
    return is;
}

static inline bool has_form(struct workshop *s, const char *path, enum policy_encoding is)
{
    struct memory_object *form = stage_form(&s->stage, path, is);
    memory_object_drop(form);
    return form;
}

/* It is there; held. */
static inline struct memory_object *form_of(struct workshop *s, const char *path,
                                            enum policy_encoding is)
{
    struct memory_object *form = stage_form(&s->stage, path, is);
    must(form);
    return form;
}

static inline void assert_form(struct workshop *s, const char *path, enum policy_encoding is,
                               struct span body)
{
    struct memory_object *form = form_of(s, path, is);
    assert_true(form->derived);
    stage_assert_decodes(&s->stage, form, body);
    memory_object_drop(form);
}

/* Asks of the version that is there now. */
static inline void ask(struct workshop *s, const char *path, uint8_t bits)
{
    struct memory_object *o = stage_now(&s->stage, path);
    must(o);
    memory_encoder_ask(s->encoder, o, bits);
    memory_object_drop(o);
}

static inline struct memory_object *small_text(struct workshop *s, const char *path,
                                               enum stage_where where, char **out_text)
{
    *out_text = stage_text(7, 16, SMALL);
    return stage_object(&s->stage, path, POLICY_IDENTITY, span_of(*out_text, SMALL), where);
}

/* What is to be looked at after a restart. */
static inline void assert_stored(struct stage *s, const char *path, enum policy_encoding is,
                                 struct span body)
{
    struct store_record r;
    void *memory = stage_load(s, stage_key(s, path), &r);
    bool found = false;
    for (unsigned i = 1; i < r.rep_count; i++) {
        if (r.rep[i].encoding != is)
            continue;
        found = true;
        assert_true(r.rep[i].flags & STORE_REP_DERIVED);
        struct stage_bytes plain;
        char *bytes = must_alloc((size_t)r.rep[i].bytes);
        assert_int_equal(stage_read(s, &r.rep[i], bytes), ERR_OK);
        assert_int_equal(stage_recode(memory_codec_decoder(is, body.len),
                                      span_of(bytes, (size_t)r.rep[i].bytes), &plain),
                         ERR_CLOSED);
        assert_true(span_equal(span_of(plain.ptr, plain.len), body));
        free(plain.ptr);
        free(bytes);
    }
    assert_true(found);
    free(memory);
}
