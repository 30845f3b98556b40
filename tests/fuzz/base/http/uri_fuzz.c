/* tests/fuzz/base/http/uri_fuzz.c - targets, authorities and references from anybody's text.
 *
 * What is taken is in normal form: read again, it stays as it is.
 */
#include <stdint.h>

#include "base/http/uri.h"

static void check_normal(const struct http_uri *u, struct arena *a)
{
    struct http_uri again;
    struct span host, rest = span_from(u->path, 1), segment;
    uint16_t port;
    must(u->path.len > 0 && u->path.ptr[0] == '/');
    must(u->has_query || u->query.len == 0);
    must(http_uri_parse_target(u->path, a, &again) == ERR_OK && !again.has_query);
    must(span_equal(again.path, u->path));
    while (rest.len > 0 && span_split(&rest, '/', &segment))
        must(!span_equal(segment, SPAN(".")) && !span_equal(segment, SPAN("..")));
    for (size_t i = 0; i < u->path.len; i++)
        must(u->path.ptr[i] > ' ' && u->path.ptr[i] < 0x7f && u->path.ptr[i] != '\\');
    for (size_t i = 0; i < u->query.len; i++)
        must(u->query.ptr[i] > ' ' && u->query.ptr[i] < 0x7f && u->query.ptr[i] != '#');
    if (u->host.len > 0)
        must(http_uri_parse_authority(u->host, a, &host, &port) == ERR_OK && port == 0 &&
             span_equal(host, u->host));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_of(data, size), host;
    struct http_uri base, u;
    struct arena arena;
    uint16_t port;
    if (size > 1 << 14)
        return 0;
    arena_init(&arena, 1 << 20);
    if (http_uri_parse_target(text, &arena, &u) == ERR_OK)
        check_normal(&u, &arena);
    if (http_uri_parse_absolute(text, &arena, &u) == ERR_OK) {
        must(u.scheme.len >= 4 && u.host.len > 0);
        check_normal(&u, &arena);
    }
    if (http_uri_parse_authority(text, &arena, &host, &port) == ERR_OK)
        must(host.len > 0 && host.len <= text.len);
    must(http_uri_parse_absolute(SPAN("http://a:8080/b/c/d?q"), &arena, &base) == ERR_OK);
    if (http_uri_resolve(&base, text, &arena, &u) == ERR_OK)
        check_normal(&u, &arena);
    arena_fini(&arena);
    return 0;
}
