#include "base/http/chunked.h"

#define DIGITS_MAX 16
#define EXTENSIONS_MAX_BYTES 16384

void http_chunked_begin(struct http_chunked *c)
{
    *c = (struct http_chunked){.state = HTTP_CHUNKED_SIZE};
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const char *step_size(struct http_chunked *c, char octet)
{
    int digit = hex_value(octet);
    if (digit >= 0) {
        if (++c->digits > DIGITS_MAX || c->left >> 59 != 0)
            return "chunk size too long";
        c->left = c->left << 4 | (unsigned)digit;
        return NULL;
    }
    if (c->digits == 0 || (octet != '\r' && octet != ';'))
        return "malformed chunk size";
    c->state = octet == '\r' ? HTTP_CHUNKED_SIZE_LF : HTTP_CHUNKED_EXTENSION;
    c->extension_bytes = 0;
    return NULL;
}

static const char *step_extension(struct http_chunked *c, char octet, uint32_t max_bytes)
{
    if (octet == '\r') {
        c->state = HTTP_CHUNKED_SIZE_LF;
        return NULL;
    }
    if (((unsigned char)octet < 0x20 && octet != '\t') || octet == 0x7f)
        return "control octet in a chunk extension";
    c->extensions_bytes++;
    if (++c->extension_bytes > max_bytes || c->extensions_bytes > EXTENSIONS_MAX_BYTES)
        return "chunk extension too long";
    return NULL;
}

static const char *step(struct http_chunked *c, char octet, uint32_t extension_max_bytes)
{
    switch (c->state) {
    case HTTP_CHUNKED_SIZE:
        return step_size(c, octet);
    case HTTP_CHUNKED_EXTENSION:
        return step_extension(c, octet, extension_max_bytes);
    case HTTP_CHUNKED_SIZE_LF:
        c->state = c->left > 0 ? HTTP_CHUNKED_DATA : HTTP_CHUNKED_LAST;
        c->digits = 0;
        return octet == '\n' ? NULL : "bare CR in a chunk size";
    case HTTP_CHUNKED_CR:
        c->state = HTTP_CHUNKED_LF;
        return octet == '\r' ? NULL : "no CR LF after a chunk";
    case HTTP_CHUNKED_LF:
        c->state = HTTP_CHUNKED_SIZE;
        return octet == '\n' ? NULL : "no CR LF after a chunk";
    case HTTP_CHUNKED_DATA:
    case HTTP_CHUNKED_LAST:
        break;
    }
    return "not in the frame";
}

const char *http_chunked_skip(struct http_chunked *c, uint32_t extension_max_bytes,
                              struct span *bytes)
{
    while (bytes->len > 0 && c->state != HTTP_CHUNKED_DATA && c->state != HTTP_CHUNKED_LAST) {
        const char *reason = step(c, bytes->ptr[0], extension_max_bytes);
        if (reason)
            return reason;
        *bytes = span_from(*bytes, 1);
    }
    return NULL;
}

void http_chunked_took(struct http_chunked *c, size_t bytes)
{
    must(c->state == HTTP_CHUNKED_DATA && bytes <= c->left);
    c->left -= bytes;
    if (c->left == 0)
        c->state = HTTP_CHUNKED_CR;
}
