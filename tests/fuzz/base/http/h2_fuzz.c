/* tests/fuzz/base/http/h2_fuzz.c - both ends of an HTTP/2 connection against anybody's bytes.
 *
 * The first octet chooses: bit 0 the end (1: client), bit 1 answers at once or when the request
 * is whole, bit 2 credit at once or never, bits 4..7 the size of the pieces that are fed. A
 * server is given the preface before the input.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/http/h2.h"

#define ASKED 3

struct fuzz {
    struct http_h2 *h;
    bool early, credit;
    uint32_t open;
    size_t left;
};

static void answer(struct fuzz *f, int32_t stream)
{
    struct http_response r = {.status = 200, .body_bytes = HTTP_LENGTH_UNKNOWN};
    enum err err = http_h2_respond(f->h, stream, &r, (stream & 2) != 0);
    must(err == ERR_OK || err == ERR_CLOSED);
}

static void request(void *user, int32_t stream, struct http_request *r, struct arena *a,
                    bool ended)
{
    struct fuzz *f = user;
    f->open++;
    must(r->authority.len && r->target.len && arena_alloc(a, 1));
    must(r->target.ptr[0] == '/' || r->method == HTTP_OPTIONS);
    must(!http_fields_find(&r->fields, HTTP_NAME_HOST) &&
         http_fields_count(&r->fields, HTTP_NAME_COOKIE) <= 1 &&
         !http_fields_find(&r->fields, HTTP_NAME_CONNECTION));
    if (f->early || ended)
        answer(f, stream);
}

static void response(void *user, int32_t stream, struct http_response *r, struct arena *a,
                     bool ended)
{
    (void)user, (void)stream, (void)ended;
    must(r->status >= 100 && r->status <= 999 && a);
}

static void body(void *user, int32_t stream, struct span bytes)
{
    struct fuzz *f = user;
    must(bytes.len);
    if (f->credit)
        http_h2_consumed(f->h, stream, bytes.len);
}

static void trailers(void *user, int32_t stream, const struct http_fields *fields)
{
    (void)user, (void)stream;
    must(fields->count && !http_fields_find(fields, HTTP_NAME_CONTENT_LENGTH));
}

static void body_end(void *user, int32_t stream)
{
    struct fuzz *f = user;
    if (!f->early && stream % 7)
        answer(f, stream);
    else
        http_h2_reset(f->h, stream, HTTP_H2_CANCEL);
}

static void client_end(void *user, int32_t stream)
{
    (void)user, (void)stream;
}

static void stream_close(void *user, int32_t stream, uint32_t error)
{
    struct fuzz *f = user;
    (void)stream, (void)error;
    must(f->open > 0);
    f->open--;
}

static enum err read_body(void *user, int32_t stream, char *out, size_t room, size_t *out_len,
                          struct http_fields *out_trailers)
{
    struct fuzz *f = user;
    (void)stream, (void)out_trailers;
    if (f->left == 0)
        return ERR_CLOSED;
    *out_len = room < f->left ? room : f->left;
    memset(out, 'x', *out_len);
    f->left -= *out_len;
    return ERR_OK;
}

static void output(struct fuzz *f)
{
    static char out[HTTP_H2_OUTPUT_MIN];
    for (int i = 0; i < 64 && http_h2_output(f->h, out, sizeof out); i++)
        ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_h2_functions functions = {request,  response,     body,      trailers,
                                          body_end, stream_close, read_body, NULL};
    if (size == 0)
        return 0;
    enum http_role role = data[0] & 1 ? HTTP_CLIENT : HTTP_SERVER;
    struct fuzz f = {.early = data[0] & 2, .credit = data[0] & 4, .left = 100000};
    size_t piece = data[0] >> 4 ? (size_t)(data[0] >> 4) * (data[0] >> 4) : size;
    if (role == HTTP_CLIENT)
        functions.body_end = client_end;
    f.h = http_h2_create(role, &http_h2_conf_default, &functions, &f);
    enum err err = ERR_OK;
    if (role == HTTP_SERVER)
        err = http_h2_feed(f.h, SPAN("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"), 0);
    for (int i = 0; role == HTTP_CLIENT && i < ASKED; i++) {
        int32_t id;
        struct http_request r = {.method = HTTP_GET,
                                 .method_text = SPAN("GET"),
                                 .scheme = SPAN("http"),
                                 .authority = SPAN("a"),
                                 .target = SPAN("/")};
        must(!http_h2_request(f.h, &r, i == 1, &id));
        f.open++;
    }
    must(err == ERR_OK);
    output(&f);
    int64_t now_ms = 0;
    for (size_t at = 1; at < size; at += piece, now_ms++) {
        size_t n = size - at < piece ? size - at : piece;
        err = http_h2_feed(f.h, span_of(data + at, n), now_ms);
        output(&f);
        if (err || http_h2_is_done(f.h))
            break;
    }
    http_h2_destroy(f.h);
    must(f.open == 0);
    return 0;
}
