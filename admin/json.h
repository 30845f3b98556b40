/* admin/json.h - JSON, strict (door to jansson).
 *
 * Reading: RFC 8259 with nothing loose: duplicate keys, trailing bytes, bad UTF-8, NUL
 * characters, and anything but an object on top are refused. Writing: straight into a byte
 * queue; octets that are no UTF-8 become U+FFFD, so that what we say always parses.
 *
 * Thread: one owner. Owns: admin_json_parse's value, freed by admin_json_free; spans read from
 * it live as long.
 * Limits: what the caller gives in; jansson's nesting limit (2048).
 */
#pragma once

#include "base/buf.h"

struct admin_json; /* a value, read */

/* Owned; NULL: `fault` says what is wrong, with its place. */
struct admin_json *admin_json_parse(struct span text, char *fault, size_t fault_room);
void admin_json_free(struct admin_json *object); /* NULL ok */
/* A member of an object; NULL: not there, or no object. Borrowed. */
const struct admin_json *admin_json_member(const struct admin_json *object, const char *key);
/* The first key that is not among `known`; NULL: none. */
const char *admin_json_unknown(const struct admin_json *object, const char *const *known,
                               size_t known_count);
/* False: of another type. */
bool admin_json_text(const struct admin_json *v, struct span *out);
bool admin_json_boolean(const struct admin_json *v, bool *out);
bool admin_json_integer(const struct admin_json *v, int64_t *out);
bool admin_json_list(const struct admin_json *v, size_t *out_count);
const struct admin_json *admin_json_at(const struct admin_json *list, size_t i);
/* An object's members in turn; false: no more. `at` begins with 0. */
bool admin_json_each(const struct admin_json *object, size_t at, const char **out_key,
                     const struct admin_json **out_value);

struct admin_writer {
    struct buf *out; /* without a cap */
    bool comma;
};
/* `key` NULL: a list's member, or the value on top. */
void admin_json_open(struct admin_writer *w, const char *key, char bracket); /* '{' or '[' */
void admin_json_close(struct admin_writer *w, char bracket);                 /* '}' or ']' */
void admin_json_put_text(struct admin_writer *w, const char *key, struct span text);
/* Is it well-formed UTF-8 without NUL? Of other text _put_text replaces what is not. */
bool admin_json_carries(struct span text);
void admin_json_put_json(struct admin_writer *w, struct span json); /* written elsewhere */
void admin_json_put_unsigned(struct admin_writer *w, const char *key, uint64_t value);
void admin_json_put_integer(struct admin_writer *w, const char *key, int64_t value);
void admin_json_put_number(struct admin_writer *w, const char *key, double value); /* finite */
void admin_json_put_boolean(struct admin_writer *w, const char *key, bool value);
