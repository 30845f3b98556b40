#include "base/purge.h"

static const char *const kind_texts[] = {
    [PURGE_URL] = "url",       [PURGE_PATH] = "path", [PURGE_TAG] = "tag",
    [PURGE_PREFIX] = "prefix", [PURGE_HOST] = "host", [PURGE_ALL] = "all",
    [PURGE_GROUP] = "group",
};
static const char *const mode_texts[] = {[PURGE_HARD] = "hard", [PURGE_SOFT] = "soft"};

/* The index of `text`, or 0. */
static unsigned find_text(const char *const *texts, size_t count, struct span text)
{
    for (unsigned i = 1; i < count; i++) {
        if (span_equal(text, span_text(texts[i])))
            return i;
    }
    return 0;
}

const char *purge_kind_text(enum purge_kind kind)
{
    must(kind >= PURGE_URL && kind <= PURGE_GROUP);
    return kind_texts[kind];
}

bool purge_kind_parse(struct span text, enum purge_kind *out)
{
    unsigned found = find_text(kind_texts, ARRAY_LEN(kind_texts), text);
    if (found == 0 || found == PURGE_GROUP)
        return false;
    *out = (enum purge_kind)found;
    return true;
}

const char *purge_mode_text(enum purge_mode mode)
{
    must(mode == PURGE_HARD || mode == PURGE_SOFT);
    return mode_texts[mode];
}

bool purge_mode_parse(struct span text, enum purge_mode *out)
{
    unsigned found = find_text(mode_texts, ARRAY_LEN(mode_texts), text);
    if (found)
        *out = (enum purge_mode)found;
    return found != 0;
}

/* No control octets; no space either unless `spaces`. */
static bool clean(struct span s, bool spaces)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c < 0x20 || c == 0x7f || (c == ' ' && !spaces))
            return false;
    }
    return true;
}

static bool cut_scheme(struct span *s)
{
    if (span_starts_nocase(*s, SPAN("http://")))
        *s = span_from(*s, 7);
    else if (span_starts_nocase(*s, SPAN("https://")))
        *s = span_from(*s, 8);
    else
        return false;
    return true;
}

/* host[:port] before the first of '/' and '?', not empty. */
static bool begins_with_host(struct span s, bool slash_needed)
{
    size_t end = 0;
    while (end < s.len && s.ptr[end] != '/' && s.ptr[end] != '?')
        end++;
    if (slash_needed && (end == s.len || s.ptr[end] != '/'))
        return false;
    return end > 0 && s.ptr[0] != ':' && !span_contains(span_until(s, end), SPAN("@"));
}

static bool shape_fits(enum purge_kind kind, struct span s)
{
    size_t at;
    switch (kind) {
    case PURGE_URL:
        return clean(s, false) && cut_scheme(&s) && begins_with_host(s, false);
    case PURGE_PATH:
        return clean(s, false) && span_starts(s, SPAN("/"));
    case PURGE_TAG:
        return clean(s, true) && s.len > 0;
    case PURGE_PREFIX:
        (void)cut_scheme(&s);
        return clean(s, false) && begins_with_host(s, true);
    case PURGE_HOST:
        return clean(s, false) && begins_with_host(s, false) && !span_find(s, '/', &at) &&
               !span_find(s, '?', &at);
    case PURGE_ALL:
        return s.len == 0;
    case PURGE_GROUP:
        return clean(s, true) && span_find(s, ' ', &at) && at + 1 < s.len &&
               shape_fits(PURGE_HOST, span_until(s, at));
    }
    return false;
}

enum err purge_check_hint(const struct purge *p)
{
    if (p->selector.len > PURGE_SELECTOR_MAX || p->site.len > PURGE_SITE_MAX)
        return ERR_LIMIT;
    if (p->mode != PURGE_HARD && p->mode != PURGE_SOFT)
        return ERR_SYNTAX;
    if (!clean(p->site, false) || !shape_fits(p->kind, p->selector))
        return ERR_SYNTAX;
    return ERR_OK;
}

enum err purge_check(const struct purge *p)
{
    return p->kind == PURGE_GROUP ? ERR_SYNTAX : purge_check_hint(p);
}
