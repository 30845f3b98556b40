#include "cache/memory/encode.h"

#include <semaphore.h>
#include <stdlib.h>

#include "cache/memory/codec.h"
#include "cache/memory/pin.h"
#include "cache/memory/tier.h"

#define FIRST_ROOM ((size_t)16384)
#define FULL_NAP_MS 50u /* the store's queue is full */
#define FULL_NAPS 100u

struct work {
    const struct memory_encode *m;
    struct memory_codec *decoder, *encoder; /* NULL: not needed */
    char *raw;                              /* decoded: MEMORY_ENCODE_STEP */
    /* the source */
    uint64_t at, total;
    char *slice;
    struct span rest;
    struct store_read read;
    struct store_check check;
    /* the sink */
    char *out;
    size_t len, room;
    struct store_body body;
    struct store_put put;
    struct span piece;
    uint64_t put_bytes;
    uint64_t identity_bytes;
    sem_t
        back; /* a job is home; a semaphore, so that the store never waits for an idle thread */
};

/* --- verdicts --- */

enum memory_encoded memory_encode_judge(const struct memory_encode_sizes *s)
{
    if (s->to == POLICY_IDENTITY)
        return s->bytes ? MEMORY_ENCODED : MEMORY_ENCODED_NO_GAIN;
    if (s->bytes * 20 >= s->identity_bytes * 19)
        return MEMORY_ENCODED_DENSE;
    if (s->below_bytes && s->bytes >= s->below_bytes)
        return MEMORY_ENCODED_NO_GAIN;
    /* Nearly all clients that take zstd take gzip as well. */
    if (s->from == POLICY_GZIP && s->to == POLICY_ZSTD &&
        s->bytes * 20 + s->identity_bytes > s->from_bytes * 20)
        return MEMORY_ENCODED_NO_GAIN;
    return MEMORY_ENCODED;
}

bool memory_encode_is_dense_early(uint64_t in, uint64_t out)
{
    return in >= MEMORY_ENCODE_EARLY && in <= MEMORY_BODY_MAX && out * 20 > in * 19;
}

/* --- the store, waited for --- */

static void wait_home(struct work *w)
{
    while (sem_wait(&w->back) != 0) {
    }
}

static void read_came(struct store_job *job)
{
    (void)sem_post(&CONTAINER_OF(job, struct work, read.job)->back);
}

static void put_came(struct store_job *job)
{
    (void)sem_post(&CONTAINER_OF(job, struct work, put.job)->back);
}

static enum memory_encoded put_piece(struct work *w, size_t bytes)
{
    struct store *s = w->m->tier->store;
    /* A put that is refused would count as an object that was not stored. */
    for (unsigned naps = 0; !store_has_room(s, bytes); naps++) {
        if (naps == FULL_NAPS)
            return MEMORY_ENCODED_FAILED;
        if (!w->m->pause(w->m->context, FULL_NAP_MS))
            return MEMORY_ENCODED_STOPPED;
    }
    w->piece = span_of(w->out, bytes);
    w->put = (struct store_put){.job.done = put_came,
                                .body = &w->body,
                                .at = w->put_bytes,
                                .piece = &w->piece,
                                .piece_count = 1};
    if (store_put(s, &w->put) != ERR_OK)
        return MEMORY_ENCODED_FAILED;
    wait_home(w);
    if (w->put.job.err != ERR_OK)
        return MEMORY_ENCODED_FAILED;
    w->put_bytes += bytes;
    w->len -= bytes;
    memmove(w->out, w->out + bytes, w->len);
    return MEMORY_ENCODED;
}

/* --- the sink --- */

static enum memory_encoded grow(struct work *w)
{
    size_t room = w->room ? w->room * 2 : FIRST_ROOM;
    char *out = realloc(w->out, room);
    if (!out)
        return MEMORY_ENCODED_FAILED;
    w->out = out;
    w->room = room;
    return MEMORY_ENCODED;
}

/* At least a byte of it. */
static enum memory_encoded make_room(struct work *w)
{
    struct store *s = w->m->tier->store;
    if (w->len < w->room)
        return MEMORY_ENCODED;
    if (w->room < MEMORY_BODY_MAX)
        return grow(w);
    if (!w->m->to_disk)
        return MEMORY_ENCODED_FAILED;
    if (!w->body.body_id)
        store_body_begin(s, &w->body);
    size_t chunk = store_chunk_bytes(s);
    return put_piece(w, w->len / chunk * chunk);
}

static enum memory_encoded sink(struct work *w, struct span bytes)
{
    enum memory_encoded is = MEMORY_ENCODED;
    while (bytes.len && (is = make_room(w)) == MEMORY_ENCODED) {
        size_t take = w->room - w->len < bytes.len ? w->room - w->len : bytes.len;
        memcpy(w->out + w->len, bytes.ptr, take);
        w->len += take;
        bytes = span_from(bytes, take);
    }
    return is;
}

/* --- the codecs --- */

static enum memory_encoded encode(struct work *w, struct span in, bool last)
{
    enum memory_codec_flush flush = last ? MEMORY_CODEC_END : MEMORY_CODEC_GO_ON;
    enum err e = ERR_OK;
    while (e == ERR_OK) {
        size_t got = 0;
        enum memory_encoded is = make_room(w);
        if (is != MEMORY_ENCODED)
            return is;
        e = memory_codec_run(w->encoder, &in, flush, w->out + w->len, w->room - w->len, &got);
        w->len += got;
    }
    return e == (last ? ERR_CLOSED : ERR_AGAIN) ? MEMORY_ENCODED : MEMORY_ENCODED_FAILED;
}

/* A piece of the body as it is without encoding. */
static enum memory_encoded take(struct work *w, struct span in, bool last)
{
    w->identity_bytes += in.len;
    enum memory_encoded is = w->encoder ? encode(w, in, last) : sink(w, in);
    if (is != MEMORY_ENCODED)
        return is;
    if (w->encoder && memory_encode_is_dense_early(w->identity_bytes, w->put_bytes + w->len))
        return MEMORY_ENCODED_DENSE;
    return w->m->pause(w->m->context, 0) ? MEMORY_ENCODED : MEMORY_ENCODED_STOPPED;
}

static enum memory_encoded decoding(enum err e, bool last)
{
    if (e == ERR_CORRUPT || e == ERR_LIMIT)
        return MEMORY_ENCODED_BROKEN;
    return e == ERR_OK || e == (last ? ERR_CLOSED : ERR_AGAIN) ? MEMORY_ENCODED
                                                               : MEMORY_ENCODED_FAILED;
}

static enum memory_encoded decode(struct work *w, struct span in, bool last)
{
    enum err e = ERR_OK;
    while (e == ERR_OK) {
        size_t got = 0;
        e = memory_codec_run(w->decoder, &in, last ? MEMORY_CODEC_END : MEMORY_CODEC_GO_ON,
                             w->raw, MEMORY_ENCODE_STEP, &got);
        enum memory_encoded is = decoding(e, last);
        if (is == MEMORY_ENCODED)
            is = take(w, span_of(w->raw, got), e == ERR_CLOSED);
        if (is != MEMORY_ENCODED)
            return is;
    }
    return MEMORY_ENCODED;
}

/* What a body in memory will be, decoded: twice, which costs little, so that the encoder takes
 * no more memory than that needs. */
static enum memory_encoded count_decoded(struct work *w, int64_t *out)
{
    const struct memory_encode *m = w->m;
    struct span in = m->base->body;
    struct memory_codec *c = memory_codec_decoder((enum policy_encoding)m->base->encoding,
                                                  m->tier->object_max_bytes);
    enum memory_encoded is = c ? MEMORY_ENCODED : MEMORY_ENCODED_FAILED;
    enum err e = ERR_OK;
    *out = 0;
    while (is == MEMORY_ENCODED && e == ERR_OK) {
        size_t got = 0;
        e = memory_codec_run(c, &in, MEMORY_CODEC_END, w->raw, MEMORY_ENCODE_STEP, &got);
        *out += (int64_t)got;
        is = decoding(e, true);
        if (is == MEMORY_ENCODED && !m->pause(m->context, 0))
            is = MEMORY_ENCODED_STOPPED;
    }
    memory_codec_destroy(c);
    return is;
}

/* --- the source --- */

static enum memory_encoded read_slice(struct work *w)
{
    const struct memory_object *o = w->m->base;
    w->read = (struct store_read){
        .job.done = read_came,
        .rep = {.encoding = o->encoding,
                .body_id = o->body_id,
                .bytes = w->total,
                .xxh3 = atomic_load_explicit(&o->body_xxh3, memory_order_acquire)},
        .at = w->at,
        .out = w->slice,
        .room = STORE_SLICE_MAX,
    };
    if (w->m->tier->verify && w->read.rep.xxh3)
        w->read.check = &w->check;
    if (store_read(w->m->tier->store, &w->read) != ERR_OK)
        return MEMORY_ENCODED_FAILED;
    wait_home(w);
    if (w->read.job.err != ERR_OK || w->read.got == 0)
        return MEMORY_ENCODED_FAILED;
    w->rest = span_of(w->slice, w->read.got);
    return MEMORY_ENCODED;
}

/* The next step's bytes. */
static enum memory_encoded pull(struct work *w, struct span *out)
{
    if (w->rest.len == 0) {
        enum memory_encoded is = read_slice(w);
        if (is != MEMORY_ENCODED)
            return is;
    }
    size_t len = w->rest.len < MEMORY_ENCODE_STEP ? w->rest.len : MEMORY_ENCODE_STEP;
    *out = span_until(w->rest, len);
    w->rest = span_from(w->rest, len);
    w->at += len;
    return MEMORY_ENCODED;
}

static bool open_source(struct work *w)
{
    const struct memory_object *o = w->m->base;
    w->total = o->body_bytes > 0 ? (uint64_t)o->body_bytes : 0;
    if (o->body_in_memory)
        w->rest = o->body;
    else if (w->m->tier->store && o->body_id)
        w->slice = malloc(STORE_SLICE_MAX);
    return w->total && (o->body_in_memory ? o->body.len == w->total : w->slice != NULL);
}

/* --- the whole --- */

static enum memory_encoded open_decoder(struct work *w)
{
    const struct memory_encode *m = w->m;
    enum policy_encoding from = (enum policy_encoding)m->base->encoding;
    if (from == POLICY_IDENTITY)
        return MEMORY_ENCODED;
    w->decoder = memory_codec_decoder(from, m->tier->object_max_bytes);
    w->raw = malloc(MEMORY_ENCODE_STEP);
    return w->decoder && w->raw ? MEMORY_ENCODED : MEMORY_ENCODED_FAILED;
}

static enum memory_encoded open_encoder(struct work *w)
{
    const struct memory_encode *m = w->m;
    int64_t bytes = w->decoder ? HTTP_LENGTH_UNKNOWN : (int64_t)w->total;
    enum memory_encoded is = MEMORY_ENCODED;
    if (m->to == POLICY_IDENTITY)
        return is;
    if (w->decoder && m->base->body_in_memory)
        is = count_decoded(w, &bytes);
    if (is != MEMORY_ENCODED)
        return is;
    if (m->most_bytes && (bytes < 0 || bytes > m->most_bytes))
        return MEMORY_ENCODED_NO_GAIN;
    w->encoder = memory_codec_encoder(m->to, m->level, bytes);
    return w->encoder ? MEMORY_ENCODED : MEMORY_ENCODED_FAILED;
}

static enum memory_encoded judge(struct work *w)
{
    return memory_encode_judge(&(struct memory_encode_sizes){
        .from = (enum policy_encoding)w->m->base->encoding,
        .to = w->m->to,
        .from_bytes = w->total,
        .identity_bytes = w->identity_bytes,
        .bytes = w->put_bytes + w->len,
        .below_bytes = w->m->below_bytes,
    });
}

static enum memory_encoded run(struct work *w)
{
    struct span in;
    enum memory_encoded is = open_source(w) ? open_decoder(w) : MEMORY_ENCODED_FAILED;
    if (is == MEMORY_ENCODED)
        is = open_encoder(w);
    while (is == MEMORY_ENCODED && w->at < w->total) {
        is = pull(w, &in);
        bool last = w->at == w->total;
        if (is == MEMORY_ENCODED)
            is = w->decoder ? decode(w, in, last) : take(w, in, last);
    }
    if (is == MEMORY_ENCODED)
        is = judge(w);
    if (is == MEMORY_ENCODED && w->body.body_id && w->len)
        is = put_piece(w, w->len);
    return is;
}

static void hand_over(struct work *w, struct memory_encode_result *out)
{
    *out = (struct memory_encode_result){
        .in_bytes = w->encoder ? w->identity_bytes : w->total,
        .bytes = w->put_bytes + w->len,
        .body_id = w->body.body_id,
        .xxh3 = w->body.xxh3,
    };
    if (!w->body.body_id) {
        char *less = w->len ? realloc(w->out, w->len) : NULL;
        out->memory = less ? less : w->out;
        w->out = NULL;
    }
}

enum memory_encoded memory_encode_run(const struct memory_encode *m,
                                      struct memory_encode_result *out)
{
    struct work w = {.m = m};
    must(sem_init(&w.back, 0, 0) == 0);
    enum memory_encoded is = run(&w);
    if (is == MEMORY_ENCODED)
        hand_over(&w, out);
    else if (w.body.body_id)
        memory_pin_doom(m->tier->pins, w.body.body_id);
    store_body_fini(&w.body);
    store_check_fini(&w.check);
    memory_codec_destroy(w.decoder);
    memory_codec_destroy(w.encoder);
    (void)sem_destroy(&w.back);
    free(w.raw);
    free(w.slice);
    free(w.out);
    return is;
}
