/* tests/fuzz/cache/policy/control_fuzz.c - what any response header can make of the policy.
 *
 * The input is header lines. Checked: lifetimes stay in their bounds whatever is said, what is
 * stored has been allowed by every rule, and vary, tags and merge take the same fields.
 */
#include <stdlib.h>

#include "cache/policy/storable.h"
#include "cache/policy/tags.h"
#include "cache/policy/validate.h"
#include "cache/policy/vary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW_S INT64_C(1700000000)

static void check(bool condition)
{
    if (!condition)
        abort();
}

/* "name: value" lines as a reader would have let them through. */
static struct http_fields read_lines(struct span text, struct arena *a)
{
    struct http_fields fields = {0};
    struct span line;
    while (text.len && span_split(&text, '\n', &line) && fields.count < 100) {
        size_t at;
        if (!span_find(line, ':', &at) || !http_is_token(span_until(line, at)) ||
            !http_is_field_value(line))
            continue;
        char *name = arena_alloc(a, at);
        check(name != NULL);
        for (size_t i = 0; i < at; i++)
            name[i] = (char)(line.ptr[i] >= 'A' && line.ptr[i] <= 'Z' ? line.ptr[i] + 32
                                                                      : line.ptr[i]);
        check(
            http_fields_add(&fields, a, span_of(name, at), span_trim(span_from(line, at + 1))));
    }
    return fields;
}

static void check_seconds(int64_t s)
{
    check(s >= POLICY_NONE && s <= POLICY_SECONDS_MAX);
}

static void check_response(const struct http_response *r, const struct http_fields *request,
                           struct arena *a)
{
    static const struct conf_ttl ttl = {-1, -1, -1, -1};
    struct policy_facts f;
    struct policy_control c;
    bool strip = false;
    policy_control_response(r, &ttl, NOW_S - 1, NOW_S, a, &f, &c);
    check_seconds(f.max_age_s);
    check_seconds(f.age_s);
    check_seconds(f.stale_refresh_s);
    check_seconds(f.stale_error_s);
    check(f.expires_at_s >= POLICY_NONE && f.modified_at_s >= POLICY_NONE);
    check(policy_freshness_age_s(&f, NOW_S) >= 1);
    check(policy_freshness_lifetime_s(&f) >= 0);
    check(c.hidden_count <= POLICY_CONTROL_NAMES);
    for (uint32_t i = 0; i < c.hidden_count; i++)
        check(http_is_token(c.hidden[i]));

    struct http_request asked = {.method = HTTP_GET, .fields = *request};
    struct policy_storable_ask ask = {&asked, r, &c, &f, CONF_SET_COOKIE_DEFAULT, 0};
    if (policy_storable_check(&ask, &strip) == POLICY_STORE_YES) {
        check(!c.is_private && !strip && !policy_vary_refuses(&r->fields));
        check(policy_validate_possible(&r->fields) || !f.no_cache);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *names[] = {"surrogate-key", "cache-tag", "xkey", "cache-groups"};
    static const struct conf_texts tag_names = {names, ARRAY_LEN(names)};
    struct arena a;
    struct policy_tags tags;
    struct policy_wish wish;
    struct span vary, key;
    if (size > 8192)
        return 0;
    arena_init(&a, 1u << 22);
    struct http_response r = {.status = 200, .fields = read_lines(span_of(data, size), &a)};
    policy_control_request(&r.fields, &wish);
    check_seconds(wish.max_age_s);
    check_seconds(wish.max_stale_s);
    check_seconds(wish.min_fresh_s);
    check_response(&r, &r.fields, &a);
    if (policy_tags(&r.fields, &tag_names, &a, &tags) == ERR_OK)
        check(tags.count <= POLICY_TAGS_MAX);
    enum err err = policy_vary_names(&r.fields, &a, &vary);
    check((err == ERR_REFUSED) == policy_vary_refuses(&r.fields));
    if (!err)
        check(policy_vary_key(vary, &r.fields, &a, &key) == ERR_OK && !key.len == !vary.len);

    struct http_fields merged = {0}, again = {0};
    check(policy_validate_merge(&r.fields, &r.fields, NOW_S, &a, &merged));
    check(policy_validate_merge(&merged, &merged, NOW_S, &a, &again));
    check(merged.count == again.count);
    arena_fini(&a);
    return 0;
}
