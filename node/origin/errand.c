#include "node/origin/errand.h"

#include "base/snapshot.h"

static size_t measure(const struct origin_fetch_start *s)
{
    const struct http_request *r = s->ask->request;
    const struct policy_key *key = s->ask->key;
    size_t bytes =
        s->copy_bytes + r->target.len + r->authority.len + key->text.len + key->url.len;
    for (uint32_t i = 0; i < r->fields.count; i++)
        bytes += sizeof(*r->fields.at) + r->fields.at[i].name.len + r->fields.at[i].value.len;
    return ORIGIN_ERRAND_BYTES + bytes;
}

bool origin_errand_copy_list(const struct http_fields *from, struct arena *a,
                             struct http_fields *out)
{
    struct http_field *at = arena_alloc(a, from->count * sizeof(*at));
    if (!at)
        return false;
    if (from->count > 0)
        memcpy(at, from->at, from->count * sizeof(*at));
    *out = (struct http_fields){.at = at, .count = from->count, .room = from->count};
    return true;
}

bool origin_errand_copy_fields(const struct http_fields *from, struct arena *a,
                               struct http_fields *out)
{
    struct http_fields copy;
    if (!origin_errand_copy_list(from, a, &copy))
        return false;
    for (uint32_t i = 0; i < copy.count; i++)
        if (!arena_copy(a, from->at[i].name, &copy.at[i].name) ||
            !arena_copy(a, from->at[i].value, &copy.at[i].value))
            return false;
    *out = copy;
    return true;
}

static bool copy_request(const struct http_request *from, struct arena *a,
                         struct http_request *to)
{
    *to = *from;
    return arena_copy(a, from->method_text, &to->method_text) &&
           arena_copy(a, from->scheme, &to->scheme) &&
           arena_copy(a, from->authority, &to->authority) &&
           arena_copy(a, from->target, &to->target) &&
           origin_errand_copy_fields(&from->fields, a, &to->fields);
}

/* `part` of `from`, in its copy. */
static struct span moved(struct span part, struct span from, struct span copy)
{
    return span_of(copy.ptr + (part.ptr - from.ptr), part.len);
}

static bool copy_key(const struct policy_key *from, struct arena *a, struct policy_key *to)
{
    *to = *from;
    if (!arena_copy(a, from->text, &to->text) || !arena_copy(a, from->url, &to->url))
        return false;
    to->host = moved(from->host, from->url, to->url);
    to->path = moved(from->path, from->url, to->url);
    to->path_query = moved(from->path_query, from->url, to->url);
    return true;
}

bool origin_errand_init(struct origin_errand *e, const struct origin_fetch_start *s)
{
    *e = (struct origin_errand){
        .ask = *s->ask,
        .origin = origin_hold(s->origin),
        .setup = s->setup,
        .limits = s->limits,
        .functions = s->functions,
    };
    e->ask.request = &e->request;
    e->ask.key = &e->key;
    snapshot_hold(s->setup);
    arena_init(&e->arena, measure(s));
    e->copy = arena_alloc(&e->arena, s->copy_bytes);
    if (!e->copy)
        return false;
    if (s->copy_bytes > 0)
        memcpy(e->copy, s->copied, s->copy_bytes);
    if (!copy_request(s->ask->request, &e->arena, &e->request))
        return false;
    if (e->request.method == HTTP_HEAD && s->answer->verdict == CACHE_LEAD) { /* to be shared */
        e->request.method = HTTP_GET;
        e->request.method_text = SPAN("GET");
    }
    return copy_key(s->ask->key, &e->arena, &e->key) &&
           (!s->own || s->own(e->copy, &e->request, &e->arena));
}

void origin_errand_fini(struct origin_errand *e)
{
    arena_fini(&e->arena);
    origin_drop(e->origin);
    snapshot_drop(e->setup);
}
