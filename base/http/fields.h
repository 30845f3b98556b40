/* base/http/fields.h - a field list: lookup, list values, q-values, hop-by-hop.
 *
 * RFC 9110 5 and 7.6.1. Names are kept in lower case and carry the id of a known name, so that
 * a lookup compares numbers. Order of lines with one name is kept.
 *
 * Thread: one owner; read-only once published.
 * Owns: nothing: the array grows in the arena given, names and values are borrowed.
 * Limits: the caller's field count limit; the arena's cap.
 */
#pragma once

#include "base/arena.h"
#include "base/span.h"

/* Names this program treats by name. fields.c has the texts in one table. */
enum http_name {
    HTTP_NAME_OTHER,
    HTTP_NAME_ACCEPT,
    HTTP_NAME_ACCEPT_ENCODING,
    HTTP_NAME_ACCEPT_LANGUAGE,
    HTTP_NAME_ACCEPT_RANGES,
    HTTP_NAME_AGE,
    HTTP_NAME_ALLOW,
    HTTP_NAME_ALT_SVC,
    HTTP_NAME_AUTHORIZATION,
    HTTP_NAME_CACHE_CONTROL,
    HTTP_NAME_CACHE_GROUPS,
    HTTP_NAME_CACHE_STATUS,
    HTTP_NAME_CACHE_TAG,
    HTTP_NAME_CDN_CACHE_CONTROL,
    HTTP_NAME_CDN_LOOP,
    HTTP_NAME_CONNECTION,
    HTTP_NAME_CONTENT_DISPOSITION,
    HTTP_NAME_CONTENT_ENCODING,
    HTTP_NAME_CONTENT_LANGUAGE,
    HTTP_NAME_CONTENT_LENGTH,
    HTTP_NAME_CONTENT_LOCATION,
    HTTP_NAME_CONTENT_RANGE,
    HTTP_NAME_CONTENT_TYPE,
    HTTP_NAME_COOKIE,
    HTTP_NAME_DATE,
    HTTP_NAME_ETAG,
    HTTP_NAME_EXPECT,
    HTTP_NAME_EXPIRES,
    HTTP_NAME_FORWARDED,
    HTTP_NAME_HOST,
    HTTP_NAME_IF_MATCH,
    HTTP_NAME_IF_MODIFIED_SINCE,
    HTTP_NAME_IF_NONE_MATCH,
    HTTP_NAME_IF_RANGE,
    HTTP_NAME_IF_UNMODIFIED_SINCE,
    HTTP_NAME_KEEP_ALIVE,
    HTTP_NAME_LAST_MODIFIED,
    HTTP_NAME_LINK,
    HTTP_NAME_LOCATION,
    HTTP_NAME_PRAGMA,
    HTTP_NAME_PROXY_AUTHENTICATE,
    HTTP_NAME_PROXY_AUTHENTICATION_INFO,
    HTTP_NAME_PROXY_AUTHORIZATION,
    HTTP_NAME_PROXY_CONNECTION,
    HTTP_NAME_PROXY_STATUS,
    HTTP_NAME_RANGE,
    HTTP_NAME_RETRY_AFTER,
    HTTP_NAME_SERVER,
    HTTP_NAME_SERVER_TIMING,
    HTTP_NAME_SET_COOKIE,
    HTTP_NAME_SURROGATE_CONTROL,
    HTTP_NAME_SURROGATE_KEY,
    HTTP_NAME_TE,
    HTTP_NAME_TRAILER,
    HTTP_NAME_TRANSFER_ENCODING,
    HTTP_NAME_UPGRADE,
    HTTP_NAME_USER_AGENT,
    HTTP_NAME_VARY,
    HTTP_NAME_VIA,
    HTTP_NAME_WARNING,
    HTTP_NAME_X_FORWARDED_FOR,
    HTTP_NAME_X_FORWARDED_HOST,
    HTTP_NAME_X_FORWARDED_PORT,
    HTTP_NAME_X_FORWARDED_PROTO,
    HTTP_NAME_X_HTTP_METHOD_OVERRIDE,
    HTTP_NAME_X_MAGENTO_TAGS,
    HTTP_NAME_X_ORIGINAL_URL,
    HTTP_NAME_X_REQUEST_ID,
    HTTP_NAME_X_REWRITE_URL,
    HTTP_NAME_XKEY,
    HTTP_NAME_COUNT
};

struct http_field {
    struct span name;  /* lower case */
    struct span value; /* without space at the ends */
    uint16_t id;       /* enum http_name */
};

struct http_fields {
    struct http_field *at;
    uint32_t count, room;
};

struct span http_name_text(enum http_name id);
enum http_name http_name_find(struct span lower_case_name);

/* Appends; false when the arena is full. _named takes the text of a known name. */
bool http_fields_add(struct http_fields *f, struct arena *a, struct span lower_case_name,
                     struct span value);
bool http_fields_add_named(struct http_fields *f, struct arena *a, enum http_name id,
                           struct span value);
/* The first line of that name, or NULL. */
const struct http_field *http_fields_find(const struct http_fields *f, enum http_name id);
const struct http_field *http_fields_find_text(const struct http_fields *f, struct span name);
uint32_t http_fields_count(const struct http_fields *f, enum http_name id); /* lines */
void http_fields_remove(struct http_fields *f, enum http_name id); /* all lines; keeps order */
void http_fields_remove_text(struct http_fields *f, struct span name);
/* Removes the connection's own fields: Connection, what it names, and the fixed ones of RFC
 * 9110 7.6.1 with Proxy-Authenticate, -Authorization, -Authentication-Info. */
void http_fields_remove_hop_by_hop(struct http_fields *f);
/* Removes every field that a Connection value names (all lines of each). */
void http_fields_remove_listed(struct http_fields *f, struct span list);
/* All values of one name joined by ", "; one line is borrowed, several are joined in the
 * arena. False when the arena is full. Absent: empty span. */
bool http_fields_join(const struct http_fields *f, enum http_name id, struct arena *a,
                      struct span *out);
bool http_fields_join_text(const struct http_fields *f, struct span name, struct arena *a,
                           struct span *out);

/* Walks the members of a comma list (RFC 9110 5.6.1) over all lines of a name: quoted strings
 * are respected, empty members skipped, white space trimmed. */
struct http_list {
    const struct http_fields *fields;
    uint32_t line;
    uint16_t id;
    struct span rest;
};
void http_list_begin(struct http_list *l, const struct http_fields *f, enum http_name id);
void http_list_begin_value(struct http_list *l, struct span value); /* one value alone */
bool http_list_next(struct http_list *l, struct span *out_member);
/* Does any member equal the token, ignoring case? */
bool http_list_has(const struct http_fields *f, enum http_name id, struct span token);
/* Cuts "token;q=0.5;x=y" into token and quality in thousandths (1000 when absent, 0..1000);
 * false when q is malformed (RFC 9110 12.4.2). */
bool http_quality(struct span member, struct span *out_token, unsigned *out_thousandths);

bool http_is_token(struct span s);       /* RFC 9110 5.6.2, not empty */
bool http_is_field_value(struct span s); /* no control octets but HTAB (RFC 9110 5.5) */
/* How many octets of `s` may stand in a field value, before the first that may not. */
size_t http_field_value_length(struct span s);
/* A token's octet in lower case; 0 for octets that a token may not hold. */
extern const unsigned char http_token_lower[256];
