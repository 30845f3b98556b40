#include "admin/selector.h"

#include "cache/policy/key.h"

static const char *shape_of(enum purge_kind kind)
{
    switch (kind) {
    case PURGE_URL:
        return "not a URL like https://host/path, without fragment";
    case PURGE_PATH:
        return "not a path that begins with \"/\"";
    case PURGE_TAG:
        return "not a tag: it is empty or has control characters";
    case PURGE_PREFIX:
        return "not host/path with at least one \"/\"";
    case PURGE_HOST:
        return "not a host name, no wildcard";
    case PURGE_GROUP: /* nobody can name it */
    case PURGE_ALL:
        break;
    }
    return "type all has no selectors";
}

/* The site of the host that the selector names. False: it names none. */
static bool site_of_host(const struct purge *p, struct span name, const struct conf *conf,
                         struct span *out)
{
    size_t at;
    if (p->kind != PURGE_URL && p->kind != PURGE_PREFIX && p->kind != PURGE_HOST)
        return false;
    struct span host = span_find(name, '/', &at) ? span_until(name, at) : name;
    const struct conf_site *site = policy_key_site(conf, host);
    *out = site ? span_text(site->name) : (struct span){0};
    return true;
}

const char *admin_selector_wrong(const struct purge *p, const struct conf *conf,
                                 struct arena *a)
{
    struct span *names, site;
    uint32_t count;
    size_t at;
    enum err err = purge_check(p);
    if (err == ERR_LIMIT)
        return "too long";
    if (p->kind == PURGE_HOST && span_find(p->selector, '*', &at))
        err = ERR_SYNTAX;
    if (!err)
        err = policy_key_purge(p, conf, a, &names, &count);
    if (err == ERR_LIMIT)
        return "no room for all of this call: send fewer selectors at once";
    if (err)
        return shape_of(p->kind);
    /* It would be kept as done, and touch nothing. */
    if (p->site.len && site_of_host(p, names[0], conf, &site) && !span_equal(site, p->site))
        return "its host is not one of the site that \"site\" names";
    return NULL;
}

struct span admin_selector_site(const struct purge *p, const struct conf *conf, struct arena *a)
{
    struct span *names, site;
    uint32_t count;
    bool hosted = !p->site.len && policy_key_purge(p, conf, a, &names, &count) == ERR_OK &&
                  site_of_host(p, names[0], conf, &site);
    return hosted ? site : p->site;
}
