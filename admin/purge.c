#include "admin/purge.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "admin/repeat.h"
#include "admin/selector.h"
#include "base/counter.h"

#define WAIT_DEFAULT_MS 2000 /* for other nodes */
#define WAIT_HERE_MS 10000   /* for our own disk, however little the caller waits for others */
#define WAIT_MAX_MS 60000
#define SLOT_BITS 12

_Static_assert(ADMIN_PENDING_MAX == 1 << SLOT_BITS, "a ticket's low bits are the slot");

struct waiting {
    uint64_t ticket;          /* 0: the slot is free */
    admin_answered *answered; /* NULL: nobody waits any more, the slot does */
    void *user;
    int64_t until_ms; /* for other nodes */
    int64_t here_until_ms;
    bool here, at_once;           /* it is on our disk; that is all the caller waits for */
    bool counting;                /* a dry run: only here_until_ms counts */
    struct admin_purge_done done; /* when here */
    enum purge_mode mode;
    uint32_t selectors;
    struct admin_repeat *key; /* its place, which may have been given to another call since */
};

struct bucket {
    int64_t thousandths, at_ms; /* selectors left */
};

struct admin_purges {
    struct waiting slots[ADMIN_PENDING_MAX];
    struct admin_repeats repeats;
    uint32_t next_slot, waiting;
    uint64_t generation;
    uint32_t rate, bucket_count;
    struct bucket *buckets; /* one per token; the last one: without token */
};

struct admin_purges *admin_purge_create(void)
{
    return must_alloc(sizeof(struct admin_purges));
}

void admin_purge_destroy(struct admin_purges *p)
{
    if (!p)
        return;
    free(p->buckets);
    free(p);
}

static int64_t bucket_full(const struct admin_purges *p)
{
    /* a whole call must fit, however low the rate */
    uint32_t selectors = p->rate > ADMIN_PURGE_SELECTORS ? p->rate : ADMIN_PURGE_SELECTORS;
    return (int64_t)selectors * 1000;
}

void admin_purge_reload(struct admin_purges *p, const struct conf_admin *conf)
{
    free(p->buckets);
    p->rate = conf->purge_rate;
    p->bucket_count = conf->token_count + 1;
    p->buckets = must_alloc(p->bucket_count * sizeof *p->buckets);
    for (uint32_t i = 0; i < p->bucket_count; i++)
        p->buckets[i].thousandths = bucket_full(p);
}

/* 0: taken; else seconds until there will be enough. */
static int64_t take_rate(struct admin_purges *p, const struct conf_admin *conf,
                         const struct conf_token *token, uint32_t selectors, int64_t now_ms)
{
    uint32_t index = token ? (uint32_t)(token - conf->tokens) : p->bucket_count - 1;
    int64_t want = (int64_t)selectors * 1000, full = bucket_full(p);
    if (!p->rate)
        return 0;
    must(index < p->bucket_count);
    struct bucket *b = &p->buckets[index];
    int64_t elapsed_ms = now_ms > b->at_ms ? now_ms - b->at_ms : 0;
    /* rate a second is rate thousandths a millisecond */
    b->thousandths = elapsed_ms > full / p->rate ? full : b->thousandths + elapsed_ms * p->rate;
    b->thousandths = b->thousandths < full ? b->thousandths : full;
    b->at_ms = now_ms;
    if (b->thousandths < want) {
        int64_t second = (int64_t)p->rate * 1000;
        return (want - b->thousandths + second - 1) / second;
    }
    b->thousandths -= want;
    return 0;
}

static struct waiting *find_slot(struct admin_purges *p, uint64_t ticket)
{
    struct waiting *w = &p->slots[ticket & (ADMIN_PENDING_MAX - 1)];
    return ticket && w->ticket == ticket ? w : NULL;
}

/* NULL: all are taken. */
static struct waiting *take_slot(struct admin_purges *p, const struct admin_call *c)
{
    if (p->waiting == ADMIN_PENDING_MAX)
        return NULL;
    while (p->slots[p->next_slot].ticket)
        p->next_slot = (p->next_slot + 1) % ADMIN_PENDING_MAX;
    struct waiting *w = &p->slots[p->next_slot];
    *w = (struct waiting){.ticket = ++p->generation << SLOT_BITS | p->next_slot,
                          .answered = c->answered,
                          .user = c->user};
    p->waiting++;
    return w;
}

static void free_slot(struct admin_purges *p, struct waiting *w)
{
    *w = (struct waiting){0};
    p->waiting--;
}

struct writing_nodes {
    struct admin_writer *w; /* NULL: only counts */
    enum admin_purge_confirmed wanted;
    uint32_t others; /* not of the wanted state */
};

static void write_node(void *user, struct span id, enum admin_purge_confirmed state)
{
    struct writing_nodes *x = user;
    if (state != x->wanted)
        x->others++;
    else if (x->w)
        admin_json_put_text(x->w, NULL, id);
}

void admin_purge_write_nodes(struct admin_writer *w, const struct admin_core *core,
                             uint64_t stream, uint64_t seq, bool synced)
{
    static const char *const names[] = {[ADMIN_PURGE_APPLIED] = "applied",
                                        [ADMIN_PURGE_PENDING] = "pending",
                                        [ADMIN_PURGE_UNREACHABLE] = "unreachable"};
    enum admin_purge_confirmed here = synced ? ADMIN_PURGE_APPLIED : ADMIN_PURGE_PENDING;
    admin_json_open(w, "nodes", '{');
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        struct writing_nodes x = {.w = w, .wanted = (enum admin_purge_confirmed)i};
        admin_json_open(w, names[i], '[');
        if (!seq || core->actions->purge_confirmations(core->node, stream, seq, write_node, &x))
            write_node(&x, span_text(core->conf->node.id), here);
        admin_json_close(w, ']');
    }
    admin_json_close(w, '}');
}

static bool confirmed_by_all(const struct admin_core *core, const struct admin_purge_done *done)
{
    struct writing_nodes x = {.wanted = ADMIN_PURGE_APPLIED};
    return done->stage == ADMIN_PURGE_EVERYWHERE ||
           (core->actions->purge_confirmations(core->node, done->stream, done->seq, write_node,
                                               &x) == ERR_OK &&
            !x.others);
}

void admin_purge_write_id(struct admin_writer *w, uint64_t stream, uint64_t seq)
{
    char id[64];
    snprintf(id, sizeof id, "%016" PRIx64 ":%" PRIu64, stream, seq);
    admin_json_put_text(w, "id", span_text(id));
}

/* `w` is a slot or a remembered call in the shape of one. */
static void answer_done(const struct admin_core *core, const struct waiting *w,
                        const struct admin_purge_done *done)
{
    struct buf json;
    struct admin_call call = {.answered = w->answered, .user = w->user};
    bool synced = done->err == ERR_OK;
    buf_init(&json, 0);
    struct admin_writer out = {.out = &json};
    if (done->err == ERR_SYNTAX) {
        admin_call_fault(&call, 400, "a selector is not possible under this configuration");
        buf_fini(&json);
        return;
    }
    admin_json_open(&out, NULL, '{');
    if (done->seq)
        admin_purge_write_id(&out, done->stream, done->seq);
    admin_json_put_text(&out, "mode", span_text(purge_mode_text(w->mode)));
    admin_json_put_unsigned(&out, "selectors", w->selectors);
    admin_purge_write_nodes(&out, core, done->stream, done->seq, synced);
    if (!synced)
        admin_json_put_text(&out, "error",
                            SPAN("in effect on this node, but not on its disk: a restart may "
                                 "forget it"));
    admin_json_close(&out, '}');
    admin_call_json(&call, !synced ? 503 : confirmed_by_all(core, done) ? 200 : 202, &json);
    buf_fini(&json);
}

/* The place of its Idempotency-Key learns how far it has come. */
static void remember(const struct waiting *w)
{
    if (!w->key || w->key->ticket != w->ticket)
        return;
    w->key->finished = true;
    w->key->done = w->done;
    /* what failed may be tried again under the same key */
    w->key->used = w->done.err == ERR_OK;
}

static void finish(const struct admin_core *core, struct waiting *w)
{
    struct waiting copy = *w;
    remember(w);
    free_slot(core->purges, w);
    if (copy.answered)
        answer_done(core, &copy, &copy.done);
}

/* Answers with what is known; the node need not tell more. */
static void leave(const struct admin_core *core, struct waiting *w)
{
    uint64_t ticket = w->ticket;
    finish(core, w);
    core->actions->purge_leave(core->node, ticket);
}

void admin_purge_done(const struct admin_core *core, uint64_t ticket,
                      const struct admin_purge_done *done)
{
    struct waiting *w = find_slot(core->purges, ticket);
    if (!w)
        return;
    w->done = *done;
    w->here = done->err == ERR_OK;
    if (!w->here || done->stage == ADMIN_PURGE_EVERYWHERE)
        finish(core, w);
    else if (done->stage == ADMIN_PURGE_SETTLED || w->at_once || !w->answered)
        leave(core, w);
}

void admin_purge_count_done(const struct admin_core *core, uint64_t ticket, uint64_t objects)
{
    struct waiting *w = find_slot(core->purges, ticket);
    if (!w)
        return;
    struct waiting copy = *w;
    free_slot(core->purges, w);
    if (!copy.answered)
        return;
    struct admin_call call = {.answered = copy.answered, .user = copy.user};
    struct buf json;
    buf_init(&json, 0);
    struct admin_writer out = {.out = &json};
    admin_json_open(&out, NULL, '{');
    admin_json_put_boolean(&out, "dry_run", true);
    admin_json_put_text(&out, "mode", span_text(purge_mode_text(copy.mode)));
    admin_json_put_unsigned(&out, "selectors", copy.selectors);
    admin_json_put_unsigned(&out, "objects", objects);
    admin_json_close(&out, '}');
    admin_call_json(&call, 200, &json);
    buf_fini(&json);
}

void admin_purge_forget(const struct admin_core *core, void *user)
{
    struct admin_purges *p = core->purges;
    for (uint32_t i = 0; p->waiting && i < ADMIN_PENDING_MAX; i++) {
        struct waiting *w = &p->slots[i];
        if (!w->ticket || w->user != user)
            continue;
        w->answered = NULL; /* the slot waits on for the log */
        if (w->here)
            leave(core, w);
    }
}

static void answer_uncounted(const struct waiting *w)
{
    const struct admin_call call = {.answered = w->answered, .user = w->user};
    admin_call_fault(&call, 503, "the count took too long; nothing was purged");
}

void admin_purge_tick(const struct admin_core *core, int64_t now_ms)
{
    struct admin_purges *p = core->purges;
    static const struct admin_purge_done late = {.err = ERR_TIMEOUT};
    for (uint32_t i = 0; p->waiting && i < ADMIN_PENDING_MAX; i++) {
        struct waiting *w = &p->slots[i];
        if (!w->ticket || !w->answered)
            continue;
        if (w->here && w->until_ms <= now_ms) {
            leave(core, w);
        } else if (!w->here && w->here_until_ms <= now_ms) {
            struct waiting copy = *w;
            w->answered = NULL; /* the slot waits on for the log, or the count */
            if (copy.counting)
                answer_uncounted(&copy);
            else
                answer_done(core, &copy, &late);
        }
    }
}

bool admin_purge_allowed(const struct admin_core *core, const struct admin_call *c,
                         const struct purge *purges, uint32_t count)
{
    if (!admin_auth_has(&c->caller, ADMIN_SCOPE_PURGE)) {
        admin_call_fault(c, 403, "this token has no purge scope");
        return false;
    }
    for (uint32_t i = 0; i < count; i++)
        if (!admin_auth_site(&c->caller,
                             admin_selector_site(&purges[i], core->conf, c->arena))) {
            admin_call_fault(c, 403, "this token is for certain sites: say which one");
            return false;
        }
    return true;
}

static bool has_site(const struct conf *conf, struct span name)
{
    for (uint32_t i = 0; i < conf->site_count; i++)
        if (span_equal(name, span_text(conf->sites[i].name)))
            return true;
    return false;
}

static void replay(const struct admin_core *core, const struct admin_call *c,
                   const struct admin_repeat *first, const struct admin_repeat *fresh)
{
    if (!admin_repeat_same_body(first, fresh)) {
        admin_call_fault(c, 422, "this Idempotency-Key was used for another call");
    } else if (!first->finished) {
        admin_call_fault_field(c, 409, "retry-after", "1",
                               "the first call with this Idempotency-Key is under way");
    } else {
        struct waiting again = {.answered = c->answered,
                                .user = c->user,
                                .mode = first->mode,
                                .selectors = first->selectors};
        answer_done(core, &again, &first->done);
    }
}

static bool is_given_twice(const struct http_fields *f, const struct http_field *first)
{
    for (const struct http_field *at = first + 1; at < f->at + f->count; at++)
        if (span_equal_nocase(at->name, first->name))
            return true;
    return false;
}

/* False: answered 400. `fresh` is not `used` without such a field. */
static bool read_key(const struct admin_call *c, struct admin_repeat *fresh)
{
    const struct http_field *field =
        http_fields_find_text(&c->request->request->fields, SPAN("idempotency-key"));
    *fresh = (struct admin_repeat){0};
    if (!field)
        return true;
    struct span caller = span_text(c->caller.token ? c->caller.token->name : "");
    if (is_given_twice(&c->request->request->fields, field)) {
        admin_call_fault(c, 400, "Idempotency-Key: once");
        return false;
    }
    if (!admin_repeat_make(caller, field->value, c->request->body, c->request->now_ms, fresh)) {
        admin_call_fault(c, 400, "Idempotency-Key: 1 to %d characters", ADMIN_REPEAT_KEY_BYTES);
        return false;
    }
    return true;
}

/* False: answered as the first call with this key. */
static bool is_first(const struct admin_core *core, const struct admin_call *c,
                     const struct admin_repeat *fresh)
{
    const struct admin_repeat *first =
        fresh->used ? admin_repeat_find(&core->purges->repeats, fresh, c->request->now_ms)
                    : NULL;
    if (first)
        replay(core, c, first, fresh);
    return !first;
}

static bool check_rate(const struct admin_core *core, const struct admin_call *c,
                       uint32_t selectors)
{
    char seconds[24];
    int64_t wait_s = take_rate(core->purges, &core->conf->admin, c->caller.token, selectors,
                               c->request->now_ms);
    if (!wait_s)
        return true;
    snprintf(seconds, sizeof seconds, "%" PRId64, wait_s);
    admin_call_fault_field(c, 429, "retry-after", seconds,
                           "more selectors a second than admin.purge_rate");
    return false;
}

static void on_done(struct admin *a, uint64_t ticket, const struct admin_purge_done *done)
{
    admin_purge_done(admin_core_of(a), ticket, done);
}

static void submit(const struct admin_core *core, const struct admin_call *c,
                   const struct purge *purges, uint32_t count, int64_t wait_ms,
                   const struct admin_repeat *key)
{
    struct admin_purges *p = core->purges;
    struct waiting *w = take_slot(p, c), none = {.answered = c->answered, .user = c->user};
    counter_add(COUNTER_PURGES, 1);
    counter_add(COUNTER_PURGE_SELECTORS, count);
    if (!w)
        w = &none;
    w->mode = purges[0].mode;
    w->selectors = count;
    w->until_ms = c->request->now_ms + wait_ms;
    w->here_until_ms = c->request->now_ms + (wait_ms > WAIT_HERE_MS ? wait_ms : WAIT_HERE_MS);
    w->at_once = wait_ms == 0;
    if (key && key->used && w != &none) {
        w->key = admin_repeat_keep(&p->repeats, key);
        w->key->ticket = w->ticket;
        w->key->mode = w->mode;
        w->key->selectors = count;
    }
    core->actions->purge(core->node, purges, count, on_done, core->admin, w->ticket);
    if (w == &none) { /* it is in effect all the same */
        static const struct admin_purge_done full = {.err = ERR_LIMIT};
        answer_done(core, &none, &full);
    }
}

void admin_purge_submit(const struct admin_core *core, const struct admin_call *c,
                        const struct purge *purges, uint32_t count)
{
    if (check_rate(core, c, count))
        submit(core, c, purges, count, WAIT_DEFAULT_MS, NULL);
}

struct wanted { /* a POST's body, read */
    struct purge purges[ADMIN_PURGE_SELECTORS];
    uint32_t count;
    bool dry_run;
    int64_t wait_ms;
};

static bool read_wait(const struct admin_json *value, int64_t *out_ms)
{
    struct span text;
    *out_ms = 0;
    return admin_json_text(value, &text) &&
           (span_equal(text, SPAN("0")) || admin_call_duration(text, out_ms)) &&
           *out_ms <= WAIT_MAX_MS;
}

/* The members beside the selectors. NULL, or what is wrong. */
static const char *read_options(const struct admin_json *body, struct purge *out,
                                struct wanted *w)
{
    const struct admin_json *type = admin_json_member(body, "type");
    const struct admin_json *mode = admin_json_member(body, "mode");
    const struct admin_json *site = admin_json_member(body, "site");
    const struct admin_json *dry_run = admin_json_member(body, "dry_run");
    const struct admin_json *wait = admin_json_member(body, "wait");
    struct span text;
    if (!type || !admin_json_text(type, &text) || !purge_kind_parse(text, &out->kind))
        return "type: one of url, path, tag, prefix, host, all";
    if (mode && (!admin_json_text(mode, &text) || !purge_mode_parse(text, &out->mode)))
        return "mode: hard or soft";
    if (site && !admin_json_text(site, &out->site))
        return "site: a string";
    if (dry_run && !admin_json_boolean(dry_run, &w->dry_run))
        return "dry_run: true or false";
    if (wait && !read_wait(wait, &w->wait_ms))
        return "wait: a duration up to 60s";
    return NULL;
}

/* NULL, or what is wrong; *out_at: with which selector (from 1), 0: with all. */
static const char *read_selectors(const struct admin_core *core, const struct admin_call *c,
                                  const struct admin_json *body, const struct purge *like,
                                  struct wanted *w, size_t *out_at)
{
    const struct admin_json *list = admin_json_member(body, "selectors");
    size_t count = 0;
    *out_at = 0;
    if (list && !admin_json_list(list, &count))
        return "selectors: a list of strings";
    if (like->kind == PURGE_ALL) {
        w->purges[0] = *like;
        w->count = 1;
        return count ? "type all has no selectors" : NULL;
    }
    if (!count || count > ADMIN_PURGE_SELECTORS)
        return "selectors: 1 to 256 strings";
    for (size_t i = 0; i < count; i++) {
        struct purge *p = &w->purges[i];
        *p = *like;
        *out_at = i + 1;
        if (!admin_json_text(admin_json_at(list, i), &p->selector))
            return "not a string";
        const char *wrong = admin_selector_wrong(p, core->conf, c->arena);
        if (wrong)
            return wrong;
    }
    w->count = (uint32_t)count;
    return NULL;
}

/* False: answered 400. */
static bool read_body(const struct admin_core *core, const struct admin_call *c,
                      const struct admin_json *body, struct wanted *w)
{
    static const char *const known[] = {"type", "selectors", "site", "mode", "dry_run", "wait"};
    struct purge like = {.mode = PURGE_HARD};
    size_t at = 0;
    const char *unknown = admin_json_unknown(body, known, ARRAY_LEN(known));
    if (unknown) {
        admin_call_fault(c, 400, "unknown member: %.100s", unknown);
        return false;
    }
    w->wait_ms = WAIT_DEFAULT_MS;
    const char *wrong = read_options(body, &like, w);
    if (!wrong && like.site.len && !has_site(core->conf, like.site))
        wrong = "site: there is no such site";
    if (!wrong)
        wrong = read_selectors(core, c, body, &like, w, &at);
    if (wrong && at)
        admin_call_fault(c, 400, "selector %zu: %s", at, wrong);
    else if (wrong)
        admin_call_fault(c, 400, "%s", wrong);
    return !wrong;
}

static void on_counted(struct admin *a, uint64_t ticket, uint64_t objects)
{
    admin_purge_count_done(admin_core_of(a), ticket, objects);
}

static void count_objects(const struct admin_core *core, const struct admin_call *c,
                          const struct wanted *w)
{
    struct waiting *slot = take_slot(core->purges, c);
    if (!slot) {
        admin_call_fault_field(c, 503, "retry-after", "1", "too many calls wait");
        return;
    }
    slot->mode = w->purges[0].mode;
    slot->selectors = w->count;
    slot->counting = true;
    slot->here_until_ms = c->request->now_ms + WAIT_MAX_MS;
    core->actions->purge_count(core->node, w->purges, w->count, on_counted, core->admin,
                               slot->ticket);
}

void admin_purge_post(const struct admin_core *core, const struct admin_call *c)
{
    char fault[200];
    struct admin_repeat key;
    struct admin_json *body = admin_json_parse(c->request->body, fault, sizeof fault);
    struct wanted *w = arena_zalloc(c->arena, sizeof *w);
    if (!body)
        admin_call_fault(c, 400, "%s", fault);
    else if (!w)
        admin_call_fault(c, 503, "out of memory for this call");
    else if (read_body(core, c, body, w) && admin_purge_allowed(core, c, w->purges, w->count) &&
             read_key(c, &key) && (w->dry_run || is_first(core, c, &key)) &&
             check_rate(core, c, w->count)) {
        if (w->dry_run)
            count_objects(core, c, w);
        else
            submit(core, c, w->purges, w->count, w->wait_ms, &key);
    }
    admin_json_free(body);
}
