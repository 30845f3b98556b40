#include "node/front/answer_h1.h"

#define END_BYTES 64         /* the last chunk, without trailers */
#define BODY_ROOM_LEAST 1024 /* with less room, a head goes alone */

void front_answer_h1_init(struct front_answer_h1 *a)
{
    *a = (struct front_answer_h1){0};
    buf_init(&a->early, 0); /* interim answers are bounded where they come from */
}

void front_answer_h1_fini(struct front_answer_h1 *a)
{
    buf_fini(&a->early);
}

bool front_answer_h1_interim(struct front_answer_h1 *a, struct http_h1 *core,
                             const struct http_response *r)
{
    return a->state == FRONT_ANSWER_NONE && http_h1_write_interim(core, r, &a->early) == ERR_OK;
}

void front_answer_h1_know(struct front_answer_h1 *a, const struct http_response *r, bool body)
{
    must(a->state == FRONT_ANSWER_NONE);
    a->state = FRONT_ANSWER_KNOWN;
    a->response = r;
    a->body = body;
}

bool front_answer_h1_settle(struct front_answer_h1 *a, struct front_exchange *x)
{
    if (a->early_given > 0) {
        buf_consume(&a->early, a->early_given);
        a->early_given = 0;
        if (buf_len(&a->early) == 0)
            buf_release(&a->early);
    }
    if (a->lent > 0) {
        front_exchange_consume(x, a->lent);
        a->lent = 0;
    }
    if (a->state != FRONT_ANSWER_WRITTEN || !a->response || buf_len(&a->early) > 0)
        return false;
    a->response = NULL; /* said once */
    return true;
}

static enum err put_head(struct front_answer_h1 *a, struct http_h1 *core, bool close,
                         struct buf *text)
{
    enum err e = http_h1_write_response(core, a->response, close, text);
    if (e == ERR_LIMIT)
        e = http_h1_write_response(core, a->response, close, &a->early);
    a->state = FRONT_ANSWER_BEGUN;
    return e;
}

static enum err put_end(struct front_answer_h1 *a, struct http_h1 *core,
                        struct front_exchange *x, struct buf *text)
{
    const struct http_fields *trailers = front_exchange_trailers(x);
    size_t to = text->to;
    enum err e = http_h1_body_end(core, trailers, text);
    if (e == ERR_LIMIT) {
        text->to = to;
        e = http_h1_body_end(core, trailers, &a->early);
    }
    a->state = FRONT_ANSWER_WRITTEN;
    return e;
}

/* Some of the body, its frame in `text` before and behind, and the end when that is known.
 * *out_before: how much of `text` goes before the body. */
static enum err put_body(struct front_answer_h1 *a, struct http_h1 *core,
                         struct front_exchange *x, struct buf *text, struct span *out_body,
                         size_t *out_before)
{
    int64_t left = http_h1_body_left(core);
    size_t room = text->room - text->to;
    enum err e = ERR_CLOSED;
    struct span body = {0};
    *out_before = buf_len(text);
    if (room < BODY_ROOM_LEAST)
        return ERR_OK;
    room -= HTTP_H1_PREFIX_MAX + END_BYTES;
    if (a->body && left != 0)
        e = front_exchange_peek(x, &body);
    if (e == ERR_AGAIN)
        return ERR_OK;
    if (e == ERR_CLOSED)
        return put_end(a, core, x, text);
    if (e != ERR_OK)
        return e;
    if (body.len > room)
        body.len = room;
    if (left != HTTP_LENGTH_UNKNOWN && (int64_t)body.len > left)
        return ERR_CORRUPT; /* more than was declared */
    char *prefix = buf_reserve(text, HTTP_H1_PREFIX_MAX);
    buf_grew(text, http_h1_body_prefix(core, body.len, prefix));
    a->lent = body.len;
    *out_body = body;
    *out_before = buf_len(text);
    return left == (int64_t)body.len ? put_end(a, core, x, text) : ERR_OK;
}

/* Head, body and end as far as they are there and fit. */
static enum err put(struct front_answer_h1 *a, struct http_h1 *core, struct front_exchange *x,
                    bool close, struct span *out, struct buf *text, size_t *out_count)
{
    struct span body = {0};
    size_t before = 0, count = 0;
    enum err e = ERR_OK;
    if (a->state == FRONT_ANSWER_KNOWN)
        e = put_head(a, core, close, text);
    if (e == ERR_OK && buf_len(&a->early) == 0)
        e = put_body(a, core, x, text, &body, &before);
    if (e != ERR_OK)
        return e;
    struct span all = buf_span(text);
    if (before > 0)
        out[count++] = span_until(all, before);
    if (body.len > 0)
        out[count++] = body;
    if (before < all.len)
        out[count++] = span_from(all, before);
    *out_count = count;
    return ERR_OK;
}

static size_t put_early(struct front_answer_h1 *a, struct span *out, size_t room)
{
    struct span all = buf_span(&a->early);
    a->early_given = all.len < room ? all.len : room;
    out[0] = span_until(all, a->early_given);
    return 1;
}

enum err front_answer_h1_output(struct front_answer_h1 *a, struct http_h1 *core,
                                struct front_exchange *x, bool close, struct span *out,
                                char *scratch, size_t room, size_t *out_count)
{
    struct buf text;
    enum err e = ERR_OK;
    *out_count = 0;
    buf_borrow(&text, scratch, room);
    if (buf_len(&a->early) == 0 &&
        (a->state == FRONT_ANSWER_KNOWN || a->state == FRONT_ANSWER_BEGUN))
        e = put(a, core, x, close, out, &text, out_count);
    if (e == ERR_OK && *out_count == 0 && buf_len(&a->early) > 0)
        *out_count = put_early(a, out, room);
    return e;
}
