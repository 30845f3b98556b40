#include "cache/policy/key.h"

#include <stdlib.h>

#define PORT_TEXT_MAX 6
#define NUMBER_TEXT_MAX 20 /* 2^64 - 1 */
#define PATH_SCRATCH_BYTES ((size_t)256 << 10)

/* A text whose length was counted before. */
struct pen {
    char *at;
};

static void put(struct pen *p, struct span s)
{
    if (s.len)
        memcpy(p->at, s.ptr, s.len);
    p->at += s.len;
}

static void put_char(struct pen *p, char c)
{
    *p->at++ = c;
}

static struct span number(size_t value, char out[NUMBER_TEXT_MAX])
{
    size_t at = NUMBER_TEXT_MAX;
    do {
        out[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    return span_of(&out[at], NUMBER_TEXT_MAX - at);
}

static bool any_matches(const struct conf_texts *patterns, struct span name)
{
    for (uint32_t i = 0; i < patterns->count; i++)
        if (span_glob(name, span_text(patterns->at[i])))
            return true;
    return false;
}

struct parameter {
    struct span name, whole;
    size_t order;
};

static int compare_parameters(const void *va, const void *vb)
{
    const struct parameter *a = va, *b = vb;
    int by_name = span_compare(a->name, b->name);
    if (by_name)
        return by_name;
    /* Order of equal names means something to many programs. */
    return (a->order > b->order) - (a->order < b->order);
}

static struct span name_of(struct span whole)
{
    size_t at;
    return span_find(whole, '=', &at) ? span_until(whole, at) : whole;
}

/* Does the parameter belong to the key? */
static bool counts(const struct conf_cache_key *conf, struct span whole, struct span name)
{
    size_t at;
    /* Programs that also split at ';' see another parameter behind it, which may count. */
    if (span_find(whole, ';', &at))
        return true;
    if (conf->keep_query.count && !any_matches(&conf->keep_query, name))
        return false;
    return !any_matches(&conf->drop_query, name);
}

static size_t count_parts(struct span s, char sep)
{
    size_t parts = 1;
    for (size_t i = 0; i < s.len; i++)
        parts += s.ptr[i] == sep;
    return parts;
}

/* The query under a site's rules. *out_has: is there still a '?' to write? */
static bool shape_query(const struct http_uri *uri, const struct conf_cache_key *conf,
                        struct arena *a, struct span *out, bool *out_has)
{
    bool rules = conf && (conf->sort_query || conf->drop_query.count || conf->keep_query.count);
    if (!rules || !uri->has_query || !uri->query.len) {
        *out = uri->query;
        *out_has = uri->has_query;
        return true;
    }
    size_t room = count_parts(uri->query, '&'), kept = 0;
    struct parameter *parameters = arena_alloc(a, room * sizeof *parameters);
    char *text = arena_alloc(a, uri->query.len);
    if (!parameters || !text)
        return false;
    struct span rest = uri->query, part;
    while (span_split(&rest, '&', &part)) {
        struct span name = name_of(part);
        if (!counts(conf, part, name))
            continue;
        parameters[kept] = (struct parameter){name, part, kept};
        kept++;
    }
    if (conf->sort_query)
        qsort(parameters, kept, sizeof *parameters, compare_parameters);
    struct pen pen = {text};
    for (size_t i = 0; i < kept; i++) {
        if (i)
            put_char(&pen, '&');
        put(&pen, parameters[i].whole);
    }
    *out = span_of(text, (size_t)(pen.at - text));
    *out_has = kept > 0;
    return true;
}

/* host + path + ?query, in one piece */
static bool write_url(struct span host, struct span path, struct span query, bool has_query,
                      struct arena *a, struct span *out)
{
    char *text = arena_alloc(a, host.len + path.len + 1 + query.len);
    if (!text)
        return false;
    struct pen pen = {text};
    put(&pen, host);
    put(&pen, path);
    if (has_query) {
        put_char(&pen, '?');
        put(&pen, query);
    }
    *out = span_of(text, (size_t)(pen.at - text));
    return true;
}

enum err policy_key_url(const struct http_uri *uri, const struct conf_cache_key *conf,
                        struct arena *a, struct span *out_url)
{
    struct span query;
    bool has_query;
    if (!shape_query(uri, conf, a, &query, &has_query) ||
        !write_url(uri->host, uri->path, query, has_query, a, out_url))
        return ERR_LIMIT;
    return ERR_OK;
}

/* The named cookie's value over all Cookie lines; the first one counts (RFC 6265 5.4). */
static bool find_cookie(const struct http_fields *f, struct span name, struct span *out)
{
    for (uint32_t i = 0; i < f->count; i++) {
        if (f->at[i].id != HTTP_NAME_COOKIE)
            continue;
        struct span rest = f->at[i].value, pair;
        while (span_split(&rest, ';', &pair)) {
            pair = span_trim(pair);
            size_t at;
            if (span_find(pair, '=', &at) && span_equal(span_until(pair, at), name)) {
                *out = span_from(pair, at + 1);
                return true;
            }
        }
    }
    return false;
}

/* Appends " name=length:value", or " name=" when absent. */
static bool append_extra(struct arena *a, struct span *text, struct span name,
                         const struct span *value)
{
    char digits[NUMBER_TEXT_MAX];
    struct span length = value ? number(value->len, digits) : (struct span){0};
    size_t bytes = text->len + name.len + 2 + (value ? length.len + 1 + value->len : 0);
    char *mem = arena_alloc(a, bytes);
    if (!mem)
        return false;
    struct pen pen = {mem};
    put(&pen, *text);
    put_char(&pen, ' ');
    put(&pen, name);
    put_char(&pen, '=');
    if (value) {
        put(&pen, length);
        put_char(&pen, ':');
        put(&pen, *value);
    }
    *text = span_of(mem, bytes);
    return true;
}

static bool lower_copy(struct span s, struct arena *a, struct span *out)
{
    char *text = arena_alloc(a, s.len + 1);
    if (!text)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        text[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    *out = span_of(text, s.len);
    return true;
}

static bool append_extras(const struct http_request *r, const struct conf_cache_key *conf,
                          struct arena *a, struct span *text)
{
    for (uint32_t i = 0; i < conf->cookies.count; i++) {
        struct span name = span_text(conf->cookies.at[i]), value;
        bool found = find_cookie(&r->fields, name, &value);
        if (!append_extra(a, text, name, found ? &value : NULL))
            return false;
    }
    for (uint32_t i = 0; i < conf->headers.count; i++) {
        struct span name, value = {0};
        if (!lower_copy(span_text(conf->headers.at[i]), a, &name))
            return false;
        bool found = http_fields_find_text(&r->fields, name) != NULL;
        if (!http_fields_join_text(&r->fields, name, a, &value) ||
            !append_extra(a, text, name, found ? &value : NULL))
            return false;
    }
    return true;
}

enum err policy_key_make(const struct http_request *r, const struct http_uri *target,
                         const struct conf_cache_key *conf, struct arena *a,
                         struct policy_key *out)
{
    struct span host = {0}, query;
    uint16_t port = 0;
    bool has_query;
    if (target->host.len) { /* who asks has looked at the authority already */
        host = target->host;
        port = target->port;
    } else if (r->authority.len) { /* HTTP/1.0 may come without */
        enum err err = http_uri_parse_authority(r->authority, a, &host, &port);
        if (err)
            return err;
    }
    if (!port)
        port = span_equal(r->scheme, SPAN("https")) ? 443 : 80;
    struct policy_key key = {.port = port};
    if (!shape_query(target, conf, a, &query, &has_query) ||
        !write_url(host, target->path, query, has_query, a, &key.url))
        return ERR_LIMIT;
    key.host = span_until(key.url, host.len);
    key.path_query = span_from(key.url, host.len);
    key.path = span_until(key.path_query, target->path.len);

    char digits[NUMBER_TEXT_MAX];
    struct span port_text = number(port, digits);
    char *text = arena_alloc(a, r->scheme.len + key.url.len + 3 + PORT_TEXT_MAX);
    if (!text)
        return ERR_LIMIT;
    struct pen pen = {text};
    put(&pen, r->scheme);
    put_char(&pen, '|');
    put(&pen, key.host);
    put_char(&pen, ':');
    put(&pen, port_text);
    put_char(&pen, '|');
    put(&pen, key.path_query);
    key.text = span_of(text, (size_t)(pen.at - text));
    if (conf && !append_extras(r, conf, a, &key.text))
        return ERR_LIMIT;
    *out = key;
    return ERR_OK;
}

/* How well a site's host pattern fits: 0 not at all; an exact name beats any wildcard. */
static size_t host_rank(struct span host, struct span pattern)
{
    if (span_ends(pattern, SPAN("."))) /* as parsed hosts have none */
        pattern.len--;
    if (span_equal(pattern, SPAN("*")))
        return 1;
    if (host.len > POLICY_KEY_HOST_MAX)
        return 0;
    if (span_starts(pattern, SPAN("*."))) {
        struct span tail = span_from(pattern, 1);
        bool fits = host.len > tail.len &&
                    span_equal_nocase(span_from(host, host.len - tail.len), tail);
        return fits ? 1 + tail.len : 0;
    }
    return span_equal_nocase(host, pattern) ? SIZE_MAX : 0;
}

const struct conf_site *policy_key_site(const struct conf *c, struct span host)
{
    const struct conf_site *best = NULL;
    size_t best_rank = 0;
    for (uint32_t s = 0; s < c->site_count; s++)
        for (uint32_t h = 0; h < c->sites[s].hosts.count; h++) {
            size_t rank = host_rank(host, span_text(c->sites[s].hosts.at[h]));
            if (rank > best_rank) {
                best_rank = rank;
                best = &c->sites[s];
            }
        }
    return best;
}

static enum err one_name(struct span name, struct arena *a, struct span **out, uint32_t *count)
{
    struct span *names = arena_alloc(a, sizeof *names);
    if (!names)
        return ERR_LIMIT;
    names[0] = name;
    *out = names;
    *count = 1;
    return ERR_OK;
}

static enum err purge_url(struct span selector, const struct conf *c, struct arena *a,
                          struct span *out)
{
    struct http_uri uri;
    enum err err = http_uri_parse_absolute(selector, a, &uri);
    if (err)
        return err;
    const struct conf_site *site = policy_key_site(c, uri.host);
    return policy_key_url(&uri, site ? &site->cache_key : NULL, a, out);
}

static bool has_name(const struct span *names, uint32_t count, struct span name)
{
    for (uint32_t i = 0; i < count; i++)
        if (span_equal(names[i], name))
            return true;
    return false;
}

/* What the path is under the rules of this site; into the arena when no other made the same. */
static enum err add_path_name(const struct http_uri *uri, const struct conf_site *site,
                              struct arena *scratch, struct arena *a, struct span *names,
                              uint32_t *count)
{
    struct span name;
    enum err err = policy_key_url(uri, &site->cache_key, scratch, &name);
    if (!err && !has_name(names, *count, name))
        err = arena_copy(a, name, &names[(*count)++]) ? ERR_OK : ERR_LIMIT;
    arena_reset(scratch);
    return err;
}

/* One name per site whose rules make another one. */
static enum err purge_path(const struct purge *p, const struct conf *c, struct arena *a,
                           struct span **out, uint32_t *out_count)
{
    struct http_uri uri;
    struct arena scratch;
    uint32_t count = 0;
    enum err err = http_uri_parse_target(p->selector, a, &uri);
    if (err)
        return err;
    if (!span_starts(p->selector, SPAN("/")))
        return ERR_SYNTAX;
    uri.host = (struct span){0};
    struct span *names = must_alloc((c->site_count + 1) * sizeof *names);
    arena_init(&scratch, PATH_SCRATCH_BYTES);
    for (uint32_t s = 0; !err && s < c->site_count; s++)
        if (!p->site.len || span_equal(p->site, span_text(c->sites[s].name)))
            err = add_path_name(&uri, &c->sites[s], &scratch, a, names, &count);
    arena_fini(&scratch);
    if (!err && !count)
        err = ERR_SYNTAX;
    *out = err ? NULL : arena_alloc(a, count * sizeof *names);
    if (*out)
        memcpy(*out, names, count * sizeof *names);
    else if (!err)
        err = ERR_LIMIT;
    *out_count = count;
    free(names);
    return err;
}

static enum err purge_host(struct span selector, struct arena *a, struct span *out)
{
    uint16_t port;
    if (!selector.len)
        return ERR_SYNTAX;
    return http_uri_parse_authority(selector, a, out, &port);
}

static enum err purge_prefix(struct span selector, struct arena *a, struct span *out)
{
    size_t at;
    struct span host;
    struct http_uri uri = {.path = SPAN("/")};
    if (span_starts_nocase(selector, SPAN("http://")))
        selector = span_from(selector, 7);
    else if (span_starts_nocase(selector, SPAN("https://")))
        selector = span_from(selector, 8);
    bool has_path = span_find(selector, '/', &at);
    if (has_path && span_ends(span_until(selector, at), SPAN(":"))) /* another scheme */
        return ERR_SYNTAX;
    enum err err = purge_host(has_path ? span_until(selector, at) : selector, a, &host);
    if (!err && has_path)
        err = http_uri_parse_target(span_from(selector, at), a, &uri);
    if (err)
        return err;
    /* Not a site's rules: they reorder and drop what a prefix may cut in the middle. */
    return write_url(host, uri.path, uri.query, uri.has_query, a, out) ? ERR_OK : ERR_LIMIT;
}

enum err policy_key_purge(const struct purge *p, const struct conf *c, struct arena *a,
                          struct span **out_names, uint32_t *out_count)
{
    enum err err = ERR_SYNTAX;
    struct span name = {0};
    switch (p->kind) {
    case PURGE_URL:
        err = purge_url(p->selector, c, a, &name);
        break;
    case PURGE_PATH:
        return purge_path(p, c, a, out_names, out_count);
    case PURGE_TAG:
        name = span_trim(p->selector);
        err = name.len ? ERR_OK : ERR_SYNTAX;
        break;
    case PURGE_PREFIX:
        err = purge_prefix(p->selector, a, &name);
        break;
    case PURGE_HOST:
        err = purge_host(p->selector, a, &name);
        break;
    case PURGE_GROUP: /* as intake made it */
        name = p->selector;
        err = ERR_OK;
        break;
    case PURGE_ALL:
        err = ERR_OK;
        break;
    }
    return err ? err : one_name(name, a, out_names, out_count);
}
