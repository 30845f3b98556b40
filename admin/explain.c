#include "admin/explain.h"

#include "cache/policy/key.h"

static void write_form(struct admin_writer *out, const struct admin_form *f)
{
    admin_json_open(out, NULL, '{');
    admin_json_put_text(out, "encoding", f->encoding);
    if (f->bytes >= 0)
        admin_json_put_integer(out, "bytes", f->bytes);
    admin_json_put_boolean(out, "made", f->made);
    admin_json_put_text(out, "tier", span_text(f->tier));
    admin_json_close(out, '}');
}

static void write_variant(void *user, const struct admin_variant *v)
{
    struct admin_writer *out = user;
    admin_json_open(out, NULL, '{');
    admin_json_put_text(out, "key", v->key);
    if (v->vary.len)
        admin_json_put_text(out, "vary", v->vary);
    admin_json_put_unsigned(out, "status", v->status);
    admin_json_put_text(out, "state", span_text(v->state));
    admin_json_put_text(out, "tier", span_text(v->tier));
    admin_json_put_integer(out, "age_s", v->age_s);
    admin_json_put_integer(out, "fresh_left_s", v->fresh_left_s);
    if (v->body_bytes >= 0)
        admin_json_put_integer(out, "body_bytes", v->body_bytes);
    if (v->etag.len)
        admin_json_put_text(out, "etag", v->etag);
    admin_json_put_unsigned(out, "tags", v->tag_count);
    admin_json_put_unsigned(out, "hits", v->hits);
    admin_json_put_unsigned(out, "fill_no", v->fill_no);
    admin_json_open(out, "forms", '[');
    for (unsigned i = 0; i < v->form_count; i++)
        write_form(out, &v->forms[i]);
    admin_json_close(out, ']');
    admin_json_close(out, '}');
}

/* A token for certain sites sees only what they serve. */
static bool may_see(const struct admin_core *core, const struct admin_call *c, struct span url)
{
    struct http_uri uri;
    if (http_uri_parse_absolute(url, c->arena, &uri) != ERR_OK)
        return true; /* told apart below */
    const struct conf_site *site = policy_key_site(core->conf, uri.host);
    return admin_auth_site(&c->caller, site ? span_text(site->name) : (struct span){0});
}

void admin_explain_cache(const struct admin_core *core, const struct admin_call *c)
{
    struct span url;
    struct buf json;
    if (!admin_call_parameter(c, "url", &url)) {
        admin_call_fault(c, 400, "url: which one? /v1/cache?url=http://host/path");
        return;
    }
    if (!may_see(core, c, url)) {
        admin_call_fault(c, 403, "this token is for certain sites");
        return;
    }
    buf_init(&json, 0);
    struct admin_writer out = {.out = &json};
    admin_json_open(&out, NULL, '{');
    admin_json_put_text(&out, "url", url);
    admin_json_open(&out, "variants", '[');
    enum err err = core->actions->cache_info(core->node, url, write_variant, &out);
    admin_json_close(&out, ']');
    admin_json_close(&out, '}');
    if (err)
        admin_call_fault(c, 400, "url: not an absolute http or https URL");
    else
        admin_call_json(c, 200, &json);
    buf_fini(&json);
}
