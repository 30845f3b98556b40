#include "node/front/ask.h"

#include <stdlib.h>

#include "admin/doors.h"
#include "cache/cache.h"
#include "cache/policy/tags.h"

static bool copy_fields(struct arena *a, const struct http_fields *from,
                        struct http_fields *out)
{
    struct http_fields to = {.count = from->count, .room = from->count};
    to.at = arena_alloc(a, from->count * sizeof(*to.at));
    if (!to.at)
        return false;
    for (uint32_t i = 0; i < from->count; i++) {
        to.at[i].id = from->at[i].id;
        if (!arena_copy(a, from->at[i].name, &to.at[i].name) ||
            !arena_copy(a, from->at[i].value, &to.at[i].value))
            return false;
    }
    *out = to;
    return true;
}

static bool copy_request(struct arena *a, const struct http_request *from,
                         struct http_request *out)
{
    *out = *from; /* the numbers; every span and the field list follow */
    return arena_copy(a, from->method_text, &out->method_text) &&
           arena_copy(a, from->scheme, &out->scheme) &&
           arena_copy(a, from->authority, &out->authority) &&
           arena_copy(a, from->target, &out->target) &&
           copy_fields(a, &from->fields, &out->fields);
}

static bool copy_answer(struct arena *a, const struct admin_answer *from,
                        struct admin_answer *out)
{
    out->status = from->status;
    return arena_copy(a, from->content_type, &out->content_type) &&
           copy_fields(a, &from->fields, &out->fields) && arena_copy(a, from->body, &out->body);
}

static void open_at_control(struct letter *l)
{
    struct front_ask *a = CONTAINER_OF(l, struct front_ask, letter);
    const struct front_desk *desk = a->front->desk;
    desk->handle(desk->node, a);
}

static void open_at_home(struct letter *l)
{
    struct front_ask *a = CONTAINER_OF(l, struct front_ask, letter);
    must(a->front->asks_out > 0);
    a->front->asks_out--;
    if (a->user)
        a->answered(a->user, a);
    else
        front_ask_destroy(a);
}

/* One wake of control for all that a turn brings, and one batch of purges there. */
static void send_asks(struct io_task *t)
{
    struct front *f = CONTAINER_OF(t, struct front, asks_task);
    letter_post_stack(f->desk->mailbox, &f->asks);
}

struct front_ask *front_ask_send(struct front *f, const struct front_ask_what *what,
                                 void (*answered)(void *user, struct front_ask *a), void *user)
{
    must(user); /* NULL would say that it is forgotten */
    struct front_ask *a = calloc(1, sizeof(*a));
    if (!a)
        return NULL;
    arena_init(&a->arena, FRONT_ASK_BYTES);
    if (!copy_request(&a->arena, what->request, &a->request) ||
        !arena_copy(&a->arena, what->body, &a->body) ||
        !arena_copy(&a->arena, what->url, &a->url) ||
        !arena_copy(&a->arena, span_text(what->node_id ? what->node_id : ""), &a->node_id)) {
        front_ask_destroy(a);
        return NULL;
    }
    a->front = f;
    a->answered = answered;
    a->user = user;
    a->client = what->client;
    a->local = what->local;
    a->is_purge = what->is_purge;
    a->may_purge = what->may_purge;
    a->is_peer = what->node_id != NULL;
    a->site = what->site;
    a->setup = what->setup ? setup_hold(what->setup) : NULL;
    f->asks_out++;
    letter_stack_add(&f->asks, &a->letter, open_at_control);
    io_loop_soon(f->loop, &f->asks_task, send_asks);
    return a;
}

void front_ask_purge_ahead(struct front *f, const struct front_ask_what *what, struct arena *a)
{
    struct purge purges[POLICY_TAGS_MAX];
    uint32_t count = 0;
    const struct conf *conf = what->setup->conf;
    const struct http_fields *fields = &what->request->fields;
    if (!what->may_purge || conf->admin.purge_rate ||
        admin_doors_read(fields, what->url, what->site, a, purges, &count))
        return;
    for (uint32_t i = 0; i < count; i++)
        cache_purge_ahead(f->cache, &purges[i], conf, a);
}

void front_ask_forget(struct front_ask *a)
{
    a->user = NULL;
}

void front_ask_destroy(struct front_ask *a)
{
    if (!a)
        return;
    setup_drop(a->setup);
    arena_fini(&a->arena);
    free(a);
}

void front_ask_answer(struct front_ask *a, const struct admin_answer *answer)
{
    a->arena.cap_bytes = a->arena.used_bytes + FRONT_ASK_BYTES;
    if (!copy_answer(&a->arena, answer, &a->answer))
        a->answer = (struct admin_answer){.status = 500};
    /* From here on it may be open and gone. */
    letter_post(&a->front->loop->mailbox, &a->letter, open_at_home);
}
