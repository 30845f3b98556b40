#include "cache/memory/recode.h"

#include <stdlib.h>

#include "base/counter.h"
#include "cache/memory/form.h"
#include "cache/memory/tier.h"

/* How much goes in in one peek: when something came out, and at most. */
#define TURN_BYTES ((size_t)65536)
#define TURN_BYTES_MAX ((size_t)262144)
#define PIECE_BYTES ((size_t)16384)

struct memory_recode {
    struct memory_reader *reader;
    struct memory_tier *tier;
    struct memory_codec *codec;
    bool decodes;
    enum counter in, out;
    enum memory_codec_flush how; /* a flush, or the end, goes on until all of it is out */
    enum err end;                /* ERR_OK: not yet */
    size_t at, len;              /* of the buffer: given, made */
    char bytes[MEMORY_RECODE_BYTES];
};

static void count_as(struct memory_recode *c, enum policy_encoding to)
{
    static const enum counter in[] = {[POLICY_IDENTITY] = COUNTER_ENCODER_IN_IDENTITY,
                                      [POLICY_GZIP] = COUNTER_ENCODER_IN_GZIP,
                                      [POLICY_ZSTD] = COUNTER_ENCODER_IN_ZSTD};
    static const enum counter out[] = {[POLICY_IDENTITY] = COUNTER_ENCODER_OUT_IDENTITY,
                                       [POLICY_GZIP] = COUNTER_ENCODER_OUT_GZIP,
                                       [POLICY_ZSTD] = COUNTER_ENCODER_OUT_ZSTD};
    c->in = in[to];
    c->out = out[to];
}

struct memory_recode *memory_recode_create(struct memory_reader *r, enum policy_encoding from,
                                           enum policy_encoding to)
{
    must((from == POLICY_IDENTITY) != (to == POLICY_IDENTITY));
    struct memory_tier *t = r->object->tier;
    struct memory_recode *c = NULL;
    if (atomic_fetch_add(&t->recodes, 1) < MEMORY_RECODES_MAX)
        c = malloc(sizeof(*c));
    if (!c) {
        atomic_fetch_sub(&t->recodes, 1);
        return NULL;
    }
    c->reader = r;
    c->tier = t;
    c->decodes = to == POLICY_IDENTITY;
    c->codec = c->decodes ? memory_codec_decoder(from, t->object_max_bytes)
                          : memory_codec_encoder(to, MEMORY_CODEC_QUICK, r->object->body_bytes);
    c->how = MEMORY_CODEC_GO_ON;
    c->end = ERR_OK;
    c->at = c->len = 0;
    count_as(c, to);
    if (c->codec)
        return c;
    memory_recode_destroy(c);
    return NULL;
}

void memory_recode_destroy(struct memory_recode *c)
{
    if (!c)
        return;
    memory_codec_destroy(c->codec);
    atomic_fetch_sub(&c->tier->recodes, 1);
    free(c);
}

/* The codec has no use for the body. */
static enum err refuse(struct memory_recode *c, enum err e)
{
    if (!c->decodes || (e != ERR_CORRUPT && e != ERR_LIMIT))
        return e;
    counter_add(COUNTER_ENCODER_BROKEN, 1);
    if (!c->reader->fill) /* what still arrives may yet be cut short, and is not kept then */
        memory_form_mark(c->reader->object, MEMORY_MARK_BROKEN);
    return ERR_CORRUPT;
}

/* ERR_AGAIN: all that was given is taken, and out if it had to be. */
static enum err run(struct memory_recode *c, struct span in, size_t *taken)
{
    struct span rest = span_until(in, in.len < PIECE_BYTES ? in.len : PIECE_BYTES);
    size_t given = rest.len, got;
    enum err e = memory_codec_run(c->codec, &rest, c->how, c->bytes + c->len,
                                  sizeof(c->bytes) - c->len, &got);
    if (given > rest.len)
        memory_reader_consume(c->reader, given - rest.len);
    *taken += given - rest.len;
    c->len += got;
    counter_add(c->in, given - rest.len);
    counter_add(c->out, got);
    return e;
}

/* More of the body, or what its absence means to the codec. */
static enum err ask_reader(struct memory_recode *c, size_t taken, struct span *in)
{
    enum err e = taken < TURN_BYTES_MAX ? memory_reader_peek(c->reader, in) : ERR_AGAIN;
    if (e == ERR_AGAIN)
        c->how = MEMORY_CODEC_FLUSH;
    else if (e == ERR_CLOSED)
        c->how = MEMORY_CODEC_END;
    return e;
}

/* Something into the empty buffer. ERR_AGAIN: the reader has nothing. */
static enum err make(struct memory_recode *c)
{
    size_t taken = 0;
    bool dry = false;
    while (sizeof(c->bytes) - c->len >= MEMORY_CODEC_FLUSH_ROOM) {
        struct span in = {0};
        enum err e = ERR_OK;
        if (c->how == MEMORY_CODEC_GO_ON) {
            if (dry || (c->len > 0 && taken >= TURN_BYTES))
                break;
            e = ask_reader(c, taken, &in);
            dry = e == ERR_AGAIN;
            if (e != ERR_OK && e != ERR_AGAIN && e != ERR_CLOSED)
                return e;
        }
        e = run(c, in, &taken);
        if (e == ERR_CLOSED) {
            c->end = ERR_CLOSED;
            break;
        }
        if (e == ERR_AGAIN && c->how == MEMORY_CODEC_FLUSH)
            c->how = MEMORY_CODEC_GO_ON;
        else if (e != ERR_OK && e != ERR_AGAIN)
            return refuse(c, e);
    }
    if (c->len > 0 || c->end != ERR_OK)
        return c->len > 0 ? ERR_OK : c->end;
    /* Nobody would wake us. No encoder leaves so much without a byte of content. */
    return taken >= TURN_BYTES_MAX ? refuse(c, ERR_LIMIT) : ERR_AGAIN;
}

enum err memory_recode_peek(struct memory_recode *c, struct span *out)
{
    if (c->at == c->len) {
        c->at = c->len = 0;
        enum err e = c->end == ERR_OK ? make(c) : c->end;
        if (e != ERR_OK) {
            c->len = 0;
            if (e != ERR_AGAIN)
                c->end = e;
            return e;
        }
    }
    *out = span_of(c->bytes + c->at, c->len - c->at);
    return ERR_OK;
}

void memory_recode_consume(struct memory_recode *c, size_t bytes)
{
    must(bytes <= c->len - c->at);
    c->at += bytes;
}
