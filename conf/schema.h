/* conf/schema.h - the table of every setting: type, unit, default, range, help.
 *
 * The parser, `perigee check` and `perigee config reference` all come from it. A section is a
 * list of settings and the struct they fill; sections hold sections. What is planned but not
 * built stands here too, so that writing it is answered with what is missing.
 * Thread: any (constant).
 */
#pragma once

#include "conf/conf.h"
#include "conf/units.h"

enum conf_kind {
    CONF_TEXT,     /* const char * */
    CONF_TEXTS,    /* struct conf_texts */
    CONF_NUMBER,   /* uint16_t, uint32_t, uint64_t or int64_t, with a unit */
    CONF_SWITCH,   /* bool: true, false, on, off */
    CONF_CHOICE,   /* an enum or int: one of `choices` */
    CONF_FLAGS,    /* a list of `choices`, each a bool of the section's struct */
    CONF_ADDRESS,  /* struct addr with port */
    CONF_PREFIXES, /* struct addr_prefix *, and how many */
    CONF_PAIRS,    /* struct conf_name_value *, and how many */
    CONF_OWN,      /* a text that `read` alone understands */
    CONF_SECTION,  /* `inside`, at the same struct or one within */
    CONF_LIST,     /* an array of `inside`, and how many */
    CONF_NAMED,    /* the same, written as a map by name */
    CONF_UNBUILT,
};

struct conf_choice {
    const char *text;
    size_t value; /* of a CHOICE; of FLAGS: the offset of the bool */
    bool unbuilt;
};

struct conf_section;
struct conf_setting {
    const char *key;
    enum conf_kind kind;
    enum conf_unit unit;
    bool required;
    bool optional;        /* a NUMBER that is -1 when not given */
    bool lower;           /* a TEXT or TEXTS kept in lower case */
    bool none;            /* FLAGS: may be an empty list */
    bool served;          /* required, but of a member that serves nothing (conf/check.c) */
    size_t at, bytes;     /* the field in the section's struct; bytes 0: kept nowhere */
    size_t count_at;      /* PREFIXES, PAIRS, LIST, NAMED: the uint32_t with how many */
    size_t given_at;      /* SECTION: a bool that says whether it is on; 0 = none */
    bool off;             /* SECTION: may be written as "off" */
    const char *fallback; /* the default, as a file would say it; lists with ", " */
    const char *derived;  /* the default in words, when it depends on other settings */
    const char *word;     /* NUMBER: a word that means 0 */
    uint64_t min, max;    /* NUMBER: range in its unit; lists: most items in max */
    const struct conf_choice *choices;      /* ends with a NULL text */
    const char *shape;                      /* TEXT, TEXTS, OWN: what the value looks like */
    const char *(*wrong)(struct span text); /* TEXT, TEXTS: why it is not that; NULL: it is */
    /* OWN: fills the section's struct; the text is NUL-ended and lives as long as it */
    const char *(*read)(struct arena *arena, struct span text, void *section);
    const struct conf_section *inside;
    const char *help;
};
struct conf_section {
    const struct conf_setting *settings;
    size_t count;
    size_t bytes;    /* of the struct, when it is an element of a list */
    size_t place_at; /* the struct conf_place of one that has it; 0 = none */
};

extern const struct conf_section conf_schema; /* of struct conf */

/* The reference page in Markdown. */
void conf_reference_print(FILE *out);
