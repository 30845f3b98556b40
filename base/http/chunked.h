/* base/http/chunked.h - the frame of a chunked body, octet by octet.
 *
 * RFC 9112 7.1. Only the frame: the data stays with the caller, and the trailers are a head
 * (head.h). Stricter than the RFC: no white space before an extension, which a recipient may
 * remove (7.1.1): readers disagree about it.
 *
 *   SIZE > [EXTENSION >] SIZE_LF > DATA > CR > LF > SIZE ... SIZE_LF > LAST
 *
 * Thread: one owner. Owns: nothing.
 * Limits: 16 digits, below 2^63; the caller's limit for one extension, 16 KiB for all of a
 *         body.
 */
#pragma once

#include "base/span.h"

enum http_chunked_state {
    HTTP_CHUNKED_SIZE,
    HTTP_CHUNKED_EXTENSION,
    HTTP_CHUNKED_SIZE_LF,
    HTTP_CHUNKED_DATA, /* `left` octets, more than 0, are data */
    HTTP_CHUNKED_CR,
    HTTP_CHUNKED_LF,
    HTTP_CHUNKED_LAST, /* the trailers follow */
};

struct http_chunked {
    enum http_chunked_state state;
    uint32_t digits;
    uint32_t extension_bytes, extensions_bytes; /* of this chunk, of the body */
    uint64_t left;
};

void http_chunked_begin(struct http_chunked *c);
/* Cuts the frame's octets off the front of *bytes, until DATA or LAST or their end. NULL, or
 * why they are refused (static). */
const char *http_chunked_skip(struct http_chunked *c, uint32_t extension_max_bytes,
                              struct span *bytes);
void http_chunked_took(struct http_chunked *c, size_t bytes); /* of the data; at most left */
