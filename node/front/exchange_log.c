#include "node/front/exchange_log.h"

#include <time.h>

#include "node/front/access_log.h"

static struct span field_of(const struct http_request *r, struct span name)
{
    const struct http_field *f = http_fields_find_text(&r->fields, name);
    return f ? f->value : (struct span){0};
}

static const char *version_of(const struct http_request *r)
{
    switch (r->version) {
    case HTTP_1_0:
        return "1.0";
    case HTTP_1_1:
        return "1.1";
    case HTTP_2:
        return "2";
    }
    return "";
}

void front_exchange_log(const struct front_exchange *x, bool whole)
{
    struct timespec now;
    must(clock_gettime(CLOCK_REALTIME, &now) == 0);
    const struct http_request *r = x->request;
    struct front_log_line l = {
        .at_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000,
        .client = x->address,
        .path = x->raw_target,
        .site = x->site ? x->site->name : "",
        .status = x->head_sent ? x->response.status : 0,
        .bytes = x->bytes_out,
        .bytes_in = x->bytes_in,
        .id = x->id,
        .cache = x->cache_word,
        .total_us = io_loop_us() - x->began_us,
        .head_us = x->head_sent ? x->head_us - x->began_us : -1,
        .origin_us = x->origin.first_byte_ms < 0 ? -1 : x->origin.first_byte_ms * 1000,
        .origin = x->origin.server,
        .peer = x->origin.peer,
        .tls = x->client->tls_version,
        .http = "",
        .fault = x->fault ? x->fault : "",
        .attempts = x->origin.attempts,
        .whole = whole,
    };
    if (r) {
        l.host = r->authority;
        l.method = r->method_text;
        l.http = version_of(r);
        l.user_agent = field_of(r, SPAN("user-agent"));
        l.referer = field_of(r, SPAN("referer"));
    }
    front_log_write(x->front->log, &l);
}
