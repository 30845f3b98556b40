/* tests/fuzz/base/http/h1_fuzz.c - both ends of an HTTP/1.1 connection against anybody's bytes.
 *
 * The first octet chooses: bit 0 the end (1: client), bits 1..2 what the client asked, bits
 * 4..7 the size of the pieces. The same bytes, and then a FIN, are fed whole and in pieces:
 * both must mean the same, or be refused. A request that was taken is written again and must
 * be read as the same request.
 */
#include <stdint.h>

#include "tests/unit/base/http/h1_talk.h"

static const struct http_h1_limits larger = {
    .line_bytes = 1 << 20,
    .field_bytes = 1 << 20,
    .fields_bytes = 1 << 20,
    .field_count = 1000,
};

static void check_fields(const struct http_fields *f)
{
    for (uint32_t i = 0; i < f->count; i++) {
        const struct http_field *field = &f->at[i];
        must(http_is_token(field->name) && http_is_field_value(field->value));
        must(field->id == http_name_find(field->name));
        for (size_t at = 0; at < field->name.len; at++)
            must(field->name.ptr[at] < 'A' || field->name.ptr[at] > 'Z');
        must(span_trim(field->value).len == field->value.len);
        must(field->id != HTTP_NAME_CONTENT_LENGTH && field->id != HTTP_NAME_CONNECTION &&
             field->id != HTTP_NAME_TRANSFER_ENCODING);
    }
}

static void check_again(const struct http_request *r, struct arena *a)
{
    struct http_request q = *r;
    struct http_h1 *client = http_h1_create(HTTP_CLIENT, NULL);
    struct http_h1 *server = http_h1_create(HTTP_SERVER, &larger);
    struct http_h1_event e;
    struct buf out;
    buf_init(&out, 0);
    q.fields = (struct http_fields){0};
    for (uint32_t i = 0; i < r->fields.count; i++)
        must(http_fields_add(&q.fields, a, r->fields.at[i].name, r->fields.at[i].value));
    http_fields_remove_hop_by_hop(&q.fields);
    q.has_trailer_support = false;
    must(http_h1_write_request(client, &q, false, &out) == ERR_OK);
    http_h1_feed(server, buf_span(&out));
    must(http_h1_next(server, a, &e) == HTTP_H1_REQUEST);
    must(http_h1_unused(server) == 0);
    must(span_equal(e.request.method_text, q.method_text));
    must(span_equal(e.request.target, q.target));
    must(span_equal(e.request.authority, q.authority));
    must(e.request.body_bytes == q.body_bytes);
    must(e.request.fields.count == q.fields.count);
    for (uint32_t i = 0; i < q.fields.count; i++) {
        must(span_equal(e.request.fields.at[i].name, q.fields.at[i].name));
        must(span_equal(e.request.fields.at[i].value, q.fields.at[i].value));
    }
    http_h1_destroy(client);
    http_h1_destroy(server);
    buf_fini(&out);
}

static void check_event(struct talk *t, const struct http_h1_event *e)
{
    switch (e->kind) {
    case HTTP_H1_REQUEST:
        check_fields(&e->request.fields);
        must(!http_fields_find(&e->request.fields, HTTP_NAME_HOST));
        must(!http_fields_find(&e->request.fields, HTTP_NAME_EXPECT));
        must(e->request.authority.len > 0 || e->request.version == HTTP_1_0);
        must(e->request.target.len > 0 || e->request.method == HTTP_CONNECT);
        if (e->request.authority.len > 0 && e->request.target.len > 0)
            check_again(&e->request, &t->arena);
        break;
    case HTTP_H1_RESPONSE:
        check_fields(&e->response.fields);
        must(e->response.status >= 100 && e->response.status <= 599);
        break;
    case HTTP_H1_END:
        check_fields(&e->trailers);
        break;
    case HTTP_H1_FAULT:
        must(e->fault.status >= 400 && e->fault.reason);
        break;
    case HTTP_H1_MORE:
    case HTTP_H1_BODY:
        break;
    }
}

static void run(struct talk *t, uint8_t choice, struct span in, size_t piece)
{
    static const enum http_method asked[4] = {HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_CONNECT};
    enum http_role role = choice & 1 ? HTTP_CLIENT : HTTP_SERVER;
    struct http_h1_event e;
    talk_begin(t, role, asked[choice >> 1 & 3], NULL);
    for (size_t at = 0; at < in.len && !t->over; at += piece) {
        size_t len = piece < in.len - at ? piece : in.len - at;
        char *copy = malloc(len);
        must(copy);
        memcpy(copy, in.ptr + at, len);
        http_h1_feed(t->h, span_of(copy, len));
        do {
            http_h1_next(t->h, &t->arena, &e);
            check_event(t, &e);
        } while (talk_event(t, role == HTTP_SERVER, &e));
        http_h1_drop_feed(t->h);
        free(copy);
    }
    talk_eof(t, role == HTTP_SERVER);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct talk whole, pieces;
    if (size < 2 || size > 1 << 16)
        return 0;
    struct span in = span_of(data + 1, size - 1);
    run(&whole, data[0], in, in.len);
    run(&pieces, data[0], in, (size_t)(data[0] >> 4) + 1);
    must(whole.faulted == pieces.faulted);
    if (!whole.faulted)
        must(span_equal(buf_span(&whole.text), buf_span(&pieces.text)));
    talk_end(&whole);
    talk_end(&pieces);
    return 0;
}
