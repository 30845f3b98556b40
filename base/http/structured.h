/* base/http/structured.h - structured fields (RFC 9651): lists and dictionaries.
 *
 * Parsing is strict and all or nothing, as section 4.2 wants. Parameters and the items of
 * inner lists are checked and dropped: nobody here reads them.
 *
 * Thread: any. Owns: nothing; members lie in the arena, text is borrowed from the input or lies
 * there too.
 * Limits: HTTP_SF_MEMBERS members.
 * Errors: ERR_SYNTAX, ERR_LIMIT (members, arena full).
 */
#pragma once

#include "base/arena.h"

#define HTTP_SF_MEMBERS 1024 /* what section 3 asks a parser to support */

enum http_sf_kind {
    HTTP_SF_INTEGER,
    HTTP_SF_DECIMAL,
    HTTP_SF_STRING,
    HTTP_SF_TOKEN,
    HTTP_SF_BYTES,
    HTTP_SF_BOOLEAN,
    HTTP_SF_DATE,
    HTTP_SF_DISPLAY,
};

struct http_sf_item {
    enum http_sf_kind kind;
    bool boolean;
    int64_t integer;  /* integer, date (seconds), decimal (thousandths) */
    struct span text; /* string and display string, unescaped; token; bytes, still in base64 */
};

struct http_sf_member {
    struct span key;    /* of a dictionary */
    bool is_inner_list; /* item is not set */
    struct http_sf_item item;
};

struct http_sf_members {
    struct http_sf_member *at;
    uint32_t count; /* an empty value has none */
};

/* `value`: all lines joined by commas. */
NODISCARD enum err http_sf_list(struct span value, struct arena *a,
                                struct http_sf_members *out);
/* Of a key that comes twice the last value counts, in the first one's place. */
NODISCARD enum err http_sf_dictionary(struct span value, struct arena *a,
                                      struct http_sf_members *out);
