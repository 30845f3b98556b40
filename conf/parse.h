/* conf/parse.h - YAML to a tree of texts, maps and lists with their places.
 *
 * The door to libfyaml, by its events, so that duplicate keys and aliases are ours to judge.
 * Every scalar is a text; tags, merge keys and further documents are refused. ${NAME} is
 * filled in here, after YAML, so a value never becomes syntax.
 *
 * Thread: any.
 * Owns: the tree, in the arena; texts are NUL-ended. An alias shares its anchor's value.
 * Limits: depth 32, 100,000 values as written and with aliases followed, 1000 anchors.
 * Errors: NULL and at least one fault; of YAML's syntax errors the first one, since the
 *         others follow from it.
 */
#pragma once

#include "conf/conf.h"

#define CONF_PARSE_DEPTH_MAX 32
#define CONF_PARSE_VALUES_MAX 100000
#define CONF_PARSE_ANCHORS_MAX 1000

enum conf_value_kind { CONF_VALUE_TEXT, CONF_VALUE_MAP, CONF_VALUE_LIST };
struct conf_value {
    enum conf_value_kind kind;
    struct conf_place place;
    struct span text; /* of a text */
    bool nothing;     /* a text that is not there at all: "key:" */
    bool bad;         /* its ${NAME} failed and is told: no second fault about it */
    struct conf_entry *entries;
    uint32_t count;
    uint32_t expanded; /* values in it, aliases followed */
};
struct conf_entry { /* of a map, or with an empty key of a list */
    struct span key;
    struct conf_place place;
    struct conf_value *value;
    bool duplicate; /* told already; the first one counts */
};

struct conf_value *conf_parse(struct arena *arena, struct span text,
                              struct conf_faults *faults);
/* The place of a value named like "sites[2].hosts[0]", or of the nearest one around it. */
struct conf_place conf_parse_place(const struct conf_value *root, const char *fmt, ...)
    PRINTF_LIKE(2, 3);
bool conf_parse_has(const struct conf_value *root, const char *fmt, ...) PRINTF_LIKE(2, 3);
