#include "admin/admin.h"

#include <stdlib.h>

#include "admin/call.h"
#include "admin/doors.h"
#include "admin/explain.h"
#include "admin/metrics.h"
#include "admin/nodes.h"
#include "admin/purge.h"
#include "admin/status.h"

#define CALL_ARENA_BYTES (8u << 20) /* 256 selectors of 8 KiB, normalised, and their list */

struct admin {
    struct admin_core core;
    struct arena arena; /* of the call being handled; between calls it is empty */
};

static void handle_reload(const struct admin_core *core, const struct admin_call *c);

#define ANY "*"

struct endpoint {
    enum http_method method;
    enum admin_scope scope;
    const char *path; /* ends in '/': what follows is the call's `rest` */
    void (*handle)(const struct admin_core *core, const struct admin_call *c);
    const char *parameters[2]; /* of its query, each once; ANY: whatever monitors send */
};

static const struct endpoint endpoints[] = {
    {HTTP_GET, ADMIN_SCOPE_NONE, "/v1/health", admin_status_health, {ANY}},
    {HTTP_GET, ADMIN_SCOPE_READ, "/v1/status", admin_status_get, {NULL}},
    {HTTP_GET, ADMIN_SCOPE_READ, "/metrics", admin_metrics_get, {ANY}},
    {HTTP_GET, ADMIN_SCOPE_READ, "/v1/nodes", admin_nodes_get, {NULL}},
    {HTTP_DELETE, ADMIN_SCOPE_ADMIN, "/v1/nodes/", admin_nodes_forget, {NULL}},
    {HTTP_POST, ADMIN_SCOPE_PURGE, "/v1/purge", admin_purge_post, {NULL}},
    {HTTP_GET, ADMIN_SCOPE_READ, "/v1/purges", admin_status_purges, {"since", "limit"}},
    {HTTP_GET, ADMIN_SCOPE_READ, "/v1/purges/", admin_status_purge, {NULL}},
    {HTTP_GET, ADMIN_SCOPE_READ, "/v1/cache", admin_explain_cache, {"url"}},
    {HTTP_POST, ADMIN_SCOPE_ADMIN, "/v1/reload", handle_reload, {NULL}},
};

const struct admin_core *admin_core_of(const struct admin *a)
{
    return &a->core;
}

struct admin *admin_create(const struct conf *conf, const struct admin_actions *actions,
                           void *node, struct conf_faults *faults)
{
    struct admin_auth *auth = admin_auth_create(conf, faults);
    if (!auth)
        return NULL;
    struct admin *a = must_alloc(sizeof *a);
    arena_init(&a->arena, CALL_ARENA_BYTES);
    a->core = (struct admin_core){.admin = a,
                                  .conf = conf,
                                  .actions = actions,
                                  .node = node,
                                  .auth = auth,
                                  .purges = admin_purge_create()};
    admin_purge_reload(a->core.purges, &conf->admin);
    return a;
}

void admin_destroy(struct admin *a)
{
    if (!a)
        return;
    admin_auth_destroy(a->core.auth);
    admin_purge_destroy(a->core.purges);
    arena_fini(&a->arena);
    free(a);
}

enum err admin_reload(struct admin *a, const struct conf *conf, struct conf_faults *faults)
{
    struct admin_auth *auth = admin_auth_create(conf, faults);
    if (!auth)
        return ERR_REFUSED;
    admin_auth_destroy(a->core.auth);
    a->core.auth = auth;
    a->core.conf = conf;
    admin_purge_reload(a->core.purges, &conf->admin);
    return ERR_OK;
}

static void handle_reload(const struct admin_core *core, const struct admin_call *c)
{
    struct conf_faults faults = {0};
    struct buf json;
    /* The core's conf may be another one afterwards; the caller's token went with it. */
    enum err err = core->actions->reload(core->node, &faults);
    buf_init(&json, 0);
    struct admin_writer out = {.out = &json};
    admin_json_open(&out, NULL, '{');
    admin_json_put_boolean(&out, "reloaded", err == ERR_OK);
    admin_json_put_text(&out, "file", span_text(core->conf->file));
    admin_json_open(&out, "faults", '[');
    for (uint32_t i = 0; i < faults.count; i++) {
        admin_json_open(&out, NULL, '{');
        admin_json_put_integer(&out, "line", faults.at[i].line);
        admin_json_put_integer(&out, "column", faults.at[i].column);
        admin_json_put_boolean(&out, "warning", faults.at[i].warning);
        admin_json_put_text(&out, "message", span_text(faults.at[i].message));
        admin_json_close(&out, '}');
    }
    admin_json_close(&out, ']');
    admin_json_close(&out, '}');
    admin_call_json(c, err ? 422 : 200, &json);
    buf_fini(&json);
    conf_faults_fini(&faults);
}

static bool fits(const struct endpoint *e, struct span path, struct span *out_rest)
{
    struct span own = span_text(e->path);
    if (!span_ends(own, SPAN("/")))
        return span_equal(path, own);
    *out_rest = span_from(path, span_starts(path, own) ? own.len : path.len);
    return out_rest->len > 0;
}

/* NULL: none. *out_allow: the method that the path has. */
static const struct endpoint *find_endpoint(struct admin_call *c, const char **out_allow)
{
    enum http_method method = c->request->request->method;
    method = method == HTTP_HEAD ? HTTP_GET : method; /* the session leaves the body out */
    for (size_t i = 0; i < ARRAY_LEN(endpoints); i++) {
        if (!fits(&endpoints[i], c->target.path, &c->rest))
            continue;
        if (endpoints[i].method == method)
            return &endpoints[i];
        *out_allow = endpoints[i].method == HTTP_GET      ? "GET, HEAD"
                     : endpoints[i].method == HTTP_DELETE ? "DELETE"
                                                          : "POST";
    }
    return NULL;
}

/* An open listener trusts the machine, not the pages that its browser shows: they send Origin,
 * and can make a name of theirs point here. */
static bool comes_from_a_page(const struct admin_call *c)
{
    const struct http_request *r = c->request->request;
    struct span host;
    uint16_t port;
    struct addr addr;
    if (http_fields_find_text(&r->fields, SPAN("origin")))
        return true;
    if (!r->authority.len)
        return false;
    if (http_uri_parse_authority(r->authority, c->arena, &host, &port) != ERR_OK)
        return true;
    if (span_equal(host, SPAN("localhost")))
        return false;
    if (span_starts(host, SPAN("[")) && span_ends(host, SPAN("]")))
        host = span_of(host.ptr + 1, host.len - 2);
    return addr_parse(host, &addr) != ERR_OK;
}

static bool authorised(const struct admin_core *core, struct admin_call *c,
                       const struct endpoint *e)
{
    enum err err = admin_auth_find(core->auth, &c->request->request->fields, c->request->local,
                                   &c->caller);
    if (err == ERR_OK && c->caller.open && e->scope != ADMIN_SCOPE_NONE &&
        comes_from_a_page(c)) {
        admin_call_fault(c, 403, "not for pages of other sites");
        return false;
    }
    if (e->scope == ADMIN_SCOPE_NONE)
        return true;
    if (err || (!c->caller.open && !c->caller.token)) {
        admin_call_fault_field(c, 401, "www-authenticate", "Bearer",
                               "a token is needed: Authorization: Bearer ...");
        return false;
    }
    if (!admin_auth_has(&c->caller, e->scope)) {
        admin_call_fault(c, 403, "this token has not the scope for it");
        return false;
    }
    return true;
}

static bool has_parameter(const struct endpoint *e, struct span name)
{
    for (size_t i = 0; i < ARRAY_LEN(e->parameters); i++)
        if (e->parameters[i] && span_equal(name, span_text(e->parameters[i])))
            return true;
    return false;
}

/* Who misspells one meant something: nothing is done. False: answered 400. */
static bool check_query(const struct admin_call *c, const struct endpoint *e)
{
    struct span rest = c->target.query, part, other, value;
    size_t at;
    if (has_parameter(e, SPAN(ANY)))
        return true;
    while (rest.len && span_split(&rest, '&', &part)) {
        if (!span_find(part, '=', &at) || !has_parameter(e, span_until(part, at))) {
            admin_call_fault(c, 400, "unknown parameter: %.*s",
                             (int)(part.len < 100 ? part.len : 100), part.ptr);
            return false;
        }
        struct span name = span_until(part, at), left = rest;
        while (left.len && span_split(&left, '&', &other))
            if (span_starts(other, span_until(part, at + 1))) {
                admin_call_fault(c, 400, "twice: %.*s", SPAN_ARG(name));
                return false;
            }
        if (!admin_call_decode(c, span_from(part, at + 1), &value)) {
            admin_call_fault(c, 400, "not percent-encoded as it should be: %.*s",
                             SPAN_ARG(name));
            return false;
        }
    }
    return true;
}

void admin_handle(struct admin *a, const struct admin_request *r, admin_answered *answered,
                  void *user)
{
    struct admin_call c = {
        .request = r, .arena = &a->arena, .answered = answered, .user = user};
    const char *allow = NULL;
    if (http_uri_parse_target(r->request->target, &a->arena, &c.target) != ERR_OK) {
        admin_call_fault(&c, 400, "malformed target");
    } else {
        const struct endpoint *e = find_endpoint(&c, &allow);
        if (e && authorised(&a->core, &c, e) && check_query(&c, e))
            e->handle(&a->core, &c);
        else if (!e && allow)
            admin_call_fault_field(&c, 405, "allow", allow, "not with this method");
        else if (!e)
            admin_call_fault(&c, 404, "no such endpoint");
    }
    arena_reset(&a->arena);
}

void admin_purge_method(struct admin *a, const struct admin_request *r, struct span url,
                        const struct conf_site *site, bool may_purge, admin_answered *answered,
                        void *user)
{
    struct admin_call c = {
        .request = r, .arena = &a->arena, .answered = answered, .user = user};
    enum err err = admin_auth_find(a->core.auth, &r->request->fields, false, &c.caller);
    if (err && !may_purge)
        admin_call_fault_field(&c, 401, "www-authenticate", "Bearer", "no such token");
    else
        admin_doors_purge(&a->core, &c, url, site, may_purge);
    arena_reset(&a->arena);
}

void admin_forget(struct admin *a, void *user)
{
    admin_purge_forget(&a->core, user);
}

void admin_tick(struct admin *a, int64_t now_ms)
{
    admin_purge_tick(&a->core, now_ms);
}
