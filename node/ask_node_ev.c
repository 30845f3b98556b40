#include "node/ask_node_ev.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/http/uri.h"
#include "node/io/link_ev.h"

#define ARENA_BYTES ((size_t)64 * 1024)
#define CONNECT_MS 5000

struct asking {
    struct cli_reply *reply;
    struct io_loop *loop;
    struct io_link *link;
    struct io_timer late;
    struct span body_left;
    bool over, too_large;
    enum err err;
    enum io_link_failure why;
};

static enum err PRINTF_LIKE(3, 4)
    fail(struct cli_reply *out, enum err err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(out->fault, sizeof out->fault, fmt, args);
    va_end(args);
    return err;
}

/* --- the link's call-backs --- */

static void finish(struct asking *a, enum err err)
{
    a->over = true;
    a->err = err;
    io_loop_stop(a->loop);
}

static void sending(void *user)
{
    (void)user;
}

static void response(void *user, struct http_response *r, struct arena *arena)
{
    struct asking *a = user;
    (void)arena;
    if (r->status >= 200)
        a->reply->status = r->status;
}

static void body(void *user, struct span bytes)
{
    struct asking *a = user;
    if (buf_len(&a->reply->body) + bytes.len > ASK_NODE_BODY_MAX)
        a->too_large = true;
    else
        must(buf_append(&a->reply->body, bytes) == ERR_OK);
}

static void body_room(void *user)
{
    struct asking *a = user;
    if (!a->body_left.len)
        return;
    size_t taken = io_link_body(a->link, a->body_left);
    a->body_left = span_from(a->body_left, taken);
    if (!a->body_left.len)
        io_link_body_end(a->link, NULL);
}

static void ended(void *user, enum io_link_failure why, bool reused, bool answered,
                  const struct http_fields *trailers)
{
    struct asking *a = user;
    (void)reused, (void)answered, (void)trailers;
    a->link = NULL;
    a->why = why;
    finish(a, why == IO_LINK_OK ? ERR_OK : ERR_CLOSED);
}

static void too_late(struct io_timer *t)
{
    struct asking *a = CONTAINER_OF(t, struct asking, late);
    io_link_cancel(a->link);
    a->link = NULL;
    finish(a, ERR_TIMEOUT);
}

/* --- the request --- */

static const char *failure_text(enum io_link_failure why)
{
    switch (why) {
    case IO_LINK_DNS:
        return "the name does not resolve";
    case IO_LINK_CONNECT:
        return "nobody listens there";
    case IO_LINK_CONNECT_TIMEOUT:
        return "no connection in time";
    case IO_LINK_TLS:
        return "TLS failed (a certificate that is not trusted? see --ca)";
    case IO_LINK_PROTOCOL:
        return "what answers there does not speak HTTP";
    case IO_LINK_FIRST_BYTE_TIMEOUT:
    case IO_LINK_IDLE_TIMEOUT:
        return "no answer in time";
    case IO_LINK_OK:
    case IO_LINK_CLOSED:
    case IO_LINK_CUT:
        break;
    }
    return "the connection ended before the answer did";
}

static bool make_request(const struct cli_question *q, const struct http_uri *uri,
                         struct span authority, struct arena *a, struct http_request *out)
{
    struct span bearer;
    *out = (struct http_request){.method = http_method_find(span_text(q->method)),
                                 .version = HTTP_1_1,
                                 .method_text = span_text(q->method),
                                 .scheme = uri->scheme,
                                 .authority = authority,
                                 .target = q->target,
                                 .body_bytes = (int64_t)q->body.len,
                                 .keep_alive = true};
    if (q->token.len &&
        (!arena_printf(a, &bearer, "Bearer %.*s", SPAN_ARG(q->token)) ||
         !http_fields_add_named(&out->fields, a, HTTP_NAME_AUTHORIZATION, bearer)))
        return false;
    if (q->body.len && !http_fields_add_named(&out->fields, a, HTTP_NAME_CONTENT_TYPE,
                                              SPAN("application/json")))
        return false;
    return http_fields_add_named(&out->fields, a, HTTP_NAME_ACCEPT, SPAN("application/json"));
}

static enum err run(struct asking *a, struct io_links *links,
                    const struct io_link_target *target, const struct http_request *request,
                    const struct cli_question *q)
{
    static const struct io_link_functions functions = {.sending = sending,
                                                       .response = response,
                                                       .body = body,
                                                       .body_room = body_room,
                                                       .ended = ended};
    a->link = io_link_start(links, target, request, &functions, a);
    if (!a->link)
        return fail(a->reply, ERR_LIMIT, "the request is too long");
    io_timer_init(&a->late, a->loop, too_late);
    io_timer_set(&a->late, a->loop->now_ms + q->timeout_ms);
    body_room(a);
    if (!a->over)
        io_loop_run(a->loop);
    io_timer_stop(&a->late);
    if (a->err == ERR_TIMEOUT)
        return fail(a->reply, a->err, "no answer within %u s", (q->timeout_ms + 999) / 1000);
    if (a->err != ERR_OK)
        return fail(a->reply, a->err, "%s", failure_text(a->why));
    if (a->too_large)
        return fail(a->reply, ERR_LIMIT, "the answer is too long");
    return ERR_OK;
}

static enum err connect_and_run(const struct cli_question *q, const struct http_uri *uri,
                                const struct http_request *request, struct io_tls_context *tls,
                                struct cli_reply *out)
{
    struct asking a = {.reply = out, .loop = io_loop_create(), .body_left = q->body};
    struct io_resolver *resolver = io_resolver_create(a.loop);
    struct io_links *links = io_links_create(a.loop, resolver);
    struct span host = uri->host;
    if (span_starts(host, SPAN("[")) && span_ends(host, SPAN("]")))
        host = span_of(host.ptr + 1, host.len - 2);
    struct io_link_target target = {.host = host,
                                    .port = uri->port ? uri->port
                                            : tls     ? 443
                                                      : 80,
                                    .tls = tls,
                                    .fresh = true,
                                    .connect_ms = CONNECT_MS};
    enum err err = run(&a, links, &target, request, q);
    io_links_destroy(links);
    io_resolver_destroy(resolver);
    io_loop_destroy(a.loop);
    return err;
}

enum err node_ask(void *user, const struct cli_question *q, struct cli_reply *out)
{
    struct arena arena;
    struct http_uri uri;
    struct http_request request;
    struct io_tls_context *tls = NULL;
    struct conf_faults faults = {0};
    size_t slashes = 0;
    enum err err;
    (void)user;
    arena_init(&arena, ARENA_BYTES + q->target.len);
    if (http_uri_parse_absolute(q->admin_url, &arena, &uri) != ERR_OK || uri.path.len > 1 ||
        uri.has_query || !span_find(q->admin_url, '/', &slashes)) {
        err = fail(out, ERR_SYNTAX, "not http[s]://host[:port]");
        goto done;
    }
    if (span_equal(uri.scheme, SPAN("https")) &&
        !(tls = io_tls_client_create(q->ca ? q->ca : "", !q->insecure,
                                     (struct conf_place){0, 0}, &faults))) {
        err = fail(out, ERR_LIB, "%s", faults.count ? faults.at[0].message : "no TLS");
        goto done;
    }
    if (!make_request(q, &uri, span_from(q->admin_url, slashes + 2), &arena, &request))
        err = fail(out, ERR_LIMIT, "the request is too long");
    else
        err = connect_and_run(q, &uri, &request, tls, out);
done:
    io_tls_context_drop(tls);
    conf_faults_fini(&faults);
    arena_fini(&arena);
    return err;
}
