#include "admin/doors.h"

#include "admin/purge.h"
#include "cache/policy/tags.h"

/* Whoever sends another word for soft meant something: it is told so, and nothing is purged. */
static const char *read_mode(const struct http_fields *f, enum purge_mode *out)
{
    static const struct {
        const char *name, *value;
        enum purge_mode mode;
    } words[] = {{"fastly-soft-purge", "0", PURGE_HARD},
                 {"fastly-soft-purge", "1", PURGE_SOFT},
                 {"x-purge-mode", "hard", PURGE_HARD},
                 {"x-purge-mode", "soft", PURGE_SOFT}};
    bool said = false;
    *out = PURGE_HARD;
    for (uint32_t i = 0; i < f->count; i++) {
        bool ours = false, known = false;
        for (size_t k = 0; k < ARRAY_LEN(words); k++) {
            if (!span_equal_nocase(f->at[i].name, span_text(words[k].name)))
                continue;
            ours = true;
            if (!span_equal_nocase(f->at[i].value, span_text(words[k].value)))
                continue;
            if (said && *out != words[k].mode)
                return "soft or hard: its fields say both";
            known = said = true;
            *out = words[k].mode;
        }
        if (ours && !known)
            return "Fastly-Soft-Purge: 0 or 1; X-Purge-Mode: hard or soft";
    }
    return NULL;
}

const char *admin_doors_read(const struct http_fields *f, struct span url,
                             const struct conf_site *site, struct arena *a, struct purge *out,
                             uint32_t *out_count)
{
    _Static_assert(POLICY_TAGS_MAX == 64 && PURGE_SELECTOR_MAX == 8192, "told in words below");
    static const char *names[] = {"surrogate-key", "xkey"};
    static const struct conf_texts fields = {names, ARRAY_LEN(names)};
    struct purge like = {.kind = PURGE_URL, .mode = PURGE_HARD, .selector = url};
    struct policy_tags *tags = arena_alloc(a, sizeof *tags);
    const char *wrong = read_mode(f, &like.mode);
    if (wrong)
        return wrong;
    if (!tags || policy_tags(f, &fields, a, tags) != ERR_OK)
        return "at most 64 tags a PURGE, each of at most 8 KiB";
    /* Somebody's empty variable must not become a purge of the URL. */
    if (tags->count == 0 && (http_fields_find_text(f, SPAN("surrogate-key")) ||
                             http_fields_find_text(f, SPAN("xkey"))))
        return "a field for tags names none";
    out[0] = like;
    *out_count = 1;
    for (uint32_t i = 0; i < tags->count; i++) {
        out[i] = (struct purge){.kind = PURGE_TAG,
                                .mode = like.mode,
                                .selector = tags->at[i],
                                .site = span_text(site->name)};
        *out_count = i + 1;
    }
    for (uint32_t i = 0; i < *out_count; i++)
        if (purge_check(&out[i]) != ERR_OK)
            return "no such URL or tag can be";
    return NULL;
}

void admin_doors_purge(const struct admin_core *core, const struct admin_call *c,
                       struct span url, const struct conf_site *site, bool may_purge)
{
    struct purge purges[POLICY_TAGS_MAX];
    uint32_t count;
    const char *wrong =
        admin_doors_read(&c->request->request->fields, url, site, c->arena, purges, &count);
    if (wrong) {
        admin_call_fault(c, 400, "%s", wrong);
        return;
    }
    /* The door is the site's: a URL under it is all that an address is trusted with. */
    if (!may_purge && !c->caller.token) {
        admin_call_fault(c, 403, "PURGE is not allowed from this address");
        return;
    }
    if (may_purge || admin_purge_allowed(core, c, purges, count))
        admin_purge_submit(core, c, purges, count);
}
