#include "conf/parse.h"

#include <libfyaml.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/environment.h"

struct anchor {
    struct span name;
    struct conf_value *value; /* NULL while its value is being read */
};
struct parser {
    struct arena *arena;
    struct conf_faults *faults;
    struct fy_diag *diag;
    struct fy_parser *fy;
    struct fy_event *event; /* the one being looked at */
    uint32_t values;
    struct anchor *anchors; /* CONF_PARSE_ANCHORS_MAX of them */
    uint32_t anchor_count;
    bool stopped; /* a fault that ends the reading is told */
};

static struct conf_value *read_value(struct parser *p, int depth, struct conf_place around);

static void *stop(struct parser *p, struct conf_place place, const char *message)
{
    if (!p->stopped)
        conf_fault_add(p->faults, place, "%s", message);
    p->stopped = true;
    return NULL;
}

/* The library's first error: later ones follow from it. */
static void stop_syntax(struct parser *p)
{
    void *at = NULL;
    const struct fy_diag_error *error = fy_diag_errors_iterate(p->diag, &at);
    if (p->stopped)
        return;
    p->stopped = true;
    if (error)
        conf_fault_add(p->faults, (struct conf_place){error->line, error->column}, "YAML: %s",
                       error->msg);
    else
        conf_fault_add(p->faults, (struct conf_place){1, 1}, "YAML: cannot be read");
}

static bool next(struct parser *p)
{
    if (p->event)
        fy_parser_event_free(p->fy, p->event);
    p->event = p->stopped ? NULL : fy_parser_parse(p->fy);
    if (!p->event && !p->stopped)
        stop_syntax(p);
    return p->event != NULL;
}

static struct conf_place place_of(const struct fy_event *e, struct conf_place around)
{
    struct fy_token *token = NULL;
    if (e->type == FYET_SCALAR)
        token = e->scalar.value;
    else if (e->type == FYET_MAPPING_START)
        token = e->mapping_start.mapping_start;
    else if (e->type == FYET_SEQUENCE_START)
        token = e->sequence_start.sequence_start;
    else if (e->type == FYET_ALIAS)
        token = e->alias.anchor;
    const struct fy_mark *mark = token ? fy_token_start_mark(token) : NULL;
    if (!mark)
        return around;
    /* the library points behind a quote and behind an alias's star */
    enum fy_scalar_style style = fy_token_scalar_style(token);
    bool marked =
        e->type == FYET_ALIAS || (e->type == FYET_SCALAR &&
                                  (style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED));
    return (struct conf_place){mark->line + 1, mark->column + (marked ? 0 : 1)};
}

/* A copy in the arena, NUL-ended; false: stopped. */
static bool copy(struct parser *p, struct fy_token *token, struct conf_place place,
                 struct span *out)
{
    size_t len = 0;
    const char *text = token ? fy_token_get_text(token, &len) : "";
    char *room = text ? arena_alloc(p->arena, len + 1) : NULL;
    if (!room)
        return stop(p, place, "the file takes too much memory");
    memcpy(room, text, len);
    room[len] = '\0';
    *out = span_of(room, len);
    if (memchr(room, '\0', len))
        return stop(p, place, "a text with a NUL byte");
    return true;
}

static struct conf_value *new_value(struct parser *p, enum conf_value_kind kind,
                                    struct conf_place place)
{
    struct conf_value *v = arena_zalloc(p->arena, sizeof *v);
    if (!v || ++p->values > CONF_PARSE_VALUES_MAX)
        return stop(p, place, "more than 100000 values");
    v->kind = kind;
    v->place = place;
    v->expanded = 1;
    return v;
}

static struct conf_value *read_text(struct parser *p, struct conf_place place,
                                    struct conf_place around)
{
    struct conf_value *v = new_value(p, CONF_VALUE_TEXT, place);
    struct fy_token *token = p->event->scalar.value;
    if (!v || !copy(p, token, place, &v->text))
        return NULL;
    bool plain = !token || fy_token_scalar_style(token) == FYSS_PLAIN;
    v->nothing = plain && v->text.len == 0;
    if (v->nothing) /* versions of the library place it differently */
        v->place = around;
    if (memchr(v->text.ptr, '$', v->text.len))
        v->bad = !conf_environment_expand(p->arena, v->text, place, p->faults, &v->text);
    return v;
}

/* The entries of one collection while it is read. */
struct growing {
    struct conf_entry *at;
    uint32_t count, room;
};

static struct conf_entry *grow(struct growing *g)
{
    if (g->count == g->room) {
        g->room = g->room ? g->room * 2 : 8;
        g->at = must_realloc(g->at, g->room * sizeof *g->at);
    }
    g->at[g->count] = (struct conf_entry){.key = SPAN("")};
    return &g->at[g->count++];
}

static bool keep(struct parser *p, struct conf_value *v, const struct growing *g)
{
    v->count = g->count;
    v->entries = arena_alloc(p->arena, g->count * sizeof *g->at + 1);
    if (!v->entries)
        return stop(p, v->place, "the file takes too much memory");
    if (g->count)
        memcpy(v->entries, g->at, g->count * sizeof *g->at);
    for (uint32_t i = 0; i < v->count; i++) {
        v->expanded += v->entries[i].value->expanded; /* each at most 100,000: no overflow */
        if (v->expanded > CONF_PARSE_VALUES_MAX)
            return stop(p, v->place, "more than 100000 values once aliases are followed");
    }
    return true;
}

static int compare_entries(const void *a, const void *b)
{
    const struct conf_entry *x = *(struct conf_entry *const *)a;
    const struct conf_entry *y = *(struct conf_entry *const *)b;
    int order = span_compare(x->key, y->key);
    if (order)
        return order;
    return x < y ? -1 : x > y;
}

/* By sorting, since a map may have 100,000 keys. */
static void find_duplicates(struct parser *p, struct conf_value *map)
{
    struct conf_entry **sorted = must_alloc((map->count + 1) * sizeof(struct conf_entry *));
    for (uint32_t i = 0; i < map->count; i++)
        sorted[i] = &map->entries[i];
    qsort(sorted, map->count, sizeof(struct conf_entry *), compare_entries);
    struct conf_entry *first = NULL;
    for (uint32_t i = 0; i < map->count; i++) {
        if (!first || !span_equal(first->key, sorted[i]->key)) {
            first = sorted[i];
            continue;
        }
        sorted[i]->duplicate = true;
        conf_fault_add(p->faults, sorted[i]->place, "duplicate key \"%.*s\", first on line %d",
                       SPAN_ARG(first->key), first->place.line);
    }
    free(sorted);
}

static bool read_key(struct parser *p, struct conf_entry *entry)
{
    struct conf_place around = {1, 1};
    entry->place = place_of(p->event, around);
    if (p->event->type != FYET_SCALAR || p->event->scalar.anchor || p->event->scalar.tag)
        return stop(p, entry->place, "a key must be a plain text");
    if (!copy(p, p->event->scalar.value, entry->place, &entry->key))
        return false;
    if (span_equal(entry->key, SPAN("<<")))
        return stop(p, entry->place, "merge keys (<<) are not supported");
    return next(p);
}

static struct conf_value *read_entries(struct parser *p, int depth, struct conf_place place)
{
    bool map = p->event->type == FYET_MAPPING_START;
    enum fy_event_type end = map ? FYET_MAPPING_END : FYET_SEQUENCE_END;
    struct conf_value *v = new_value(p, map ? CONF_VALUE_MAP : CONF_VALUE_LIST, place);
    struct growing g = {0};
    if (depth == CONF_PARSE_DEPTH_MAX)
        stop(p, place, "nested deeper than 32 levels");
    while (v && next(p) && p->event->type != end) {
        struct conf_entry *entry = grow(&g);
        if (map && !read_key(p, entry))
            break;
        entry->value = read_value(p, depth + 1, map ? entry->place : place);
        if (!entry->value)
            break;
        if (!map)
            entry->place = entry->value->place;
    }
    if (v && !p->stopped && keep(p, v, &g) && map)
        find_duplicates(p, v);
    free(g.at);
    return p->stopped ? NULL : v;
}

static struct conf_value *follow_alias(struct parser *p, struct conf_place place)
{
    size_t len = 0;
    const char *text = fy_token_get_text(p->event->alias.anchor, &len);
    /* the latest of a name counts */
    for (uint32_t i = p->anchor_count; i-- > 0;) {
        if (!text || !span_equal(p->anchors[i].name, span_of(text, len)))
            continue;
        if (!p->anchors[i].value)
            return stop(p, place, "an alias inside its own anchor");
        /* aliases cost time even where they add no memory */
        if (++p->values > CONF_PARSE_VALUES_MAX)
            return stop(p, place, "more than 100000 values");
        return p->anchors[i].value;
    }
    return stop(p, place, "an alias without its anchor");
}

static struct anchor *name_anchor(struct parser *p, struct fy_token *token,
                                  struct conf_place place)
{
    if (p->anchor_count == CONF_PARSE_ANCHORS_MAX)
        return stop(p, place, "more than 1000 anchors");
    struct anchor *a = &p->anchors[p->anchor_count];
    if (!copy(p, token, place, &a->name))
        return NULL;
    p->anchor_count++;
    a->value = NULL;
    return a;
}

static struct conf_value *read_value(struct parser *p, int depth, struct conf_place around)
{
    struct conf_place place = place_of(p->event, around);
    struct fy_token *tag = NULL, *name = NULL;
    if (p->event->type == FYET_ALIAS)
        return follow_alias(p, place);
    if (p->event->type == FYET_SCALAR) {
        tag = p->event->scalar.tag;
        name = p->event->scalar.anchor;
    } else if (p->event->type == FYET_MAPPING_START) {
        tag = p->event->mapping_start.tag;
        name = p->event->mapping_start.anchor;
    } else if (p->event->type == FYET_SEQUENCE_START) {
        tag = p->event->sequence_start.tag;
        name = p->event->sequence_start.anchor;
    } else {
        return stop(p, place, "YAML: cannot be read");
    }
    if (tag)
        return stop(p, place, "tags (!) are not supported");
    struct anchor *a = name ? name_anchor(p, name, place) : NULL;
    if (name && !a)
        return NULL;
    struct conf_value *v = p->event->type == FYET_SCALAR ? read_text(p, place, around)
                                                         : read_entries(p, depth, place);
    if (a)
        a->value = v;
    return v;
}

static struct conf_value *read_stream(struct parser *p)
{
    const struct conf_place start = {1, 1};
    if (!next(p)) /* the stream's start */
        return NULL;
    if (!next(p))
        return NULL;
    if (p->event->type != FYET_DOCUMENT_START)
        return stop(p, start, "the file is empty");
    if (!next(p))
        return NULL;
    struct conf_value *v = read_value(p, 0, start);
    if (!v || !next(p)) /* the document's end */
        return NULL;
    if (!next(p))
        return NULL;
    if (p->event->type != FYET_STREAM_END)
        return stop(p, start, "more than one YAML document");
    return v;
}

/* How many bytes the UTF-8 character at the front has (RFC 3629); 0: none, or a NUL. */
static size_t utf8_bytes(struct span s)
{
    unsigned char c[4] = {0};
    memcpy(c, s.ptr, s.len < 4 ? s.len : 4); /* what is missing is no continuation */
    bool two = (c[1] & 0xc0) == 0x80, three = two && (c[2] & 0xc0) == 0x80;
    if (c[0] < 0x80)
        return c[0] != 0;
    if (c[0] >= 0xc2 && c[0] <= 0xdf)
        return two ? 2 : 0;
    if (c[0] >= 0xe0 && c[0] <= 0xef) /* no overlong form, no surrogate */
        return three && !(c[0] == 0xe0 && c[1] < 0xa0) && !(c[0] == 0xed && c[1] >= 0xa0) ? 3
                                                                                          : 0;
    if (c[0] >= 0xf0 && c[0] <= 0xf4)
        return three && (c[3] & 0xc0) == 0x80 && !(c[0] == 0xf0 && c[1] < 0x90) &&
                       !(c[0] == 0xf4 && c[1] >= 0x90)
                   ? 4
                   : 0;
    return 0;
}

/* The library takes some bad bytes for the end of the file. */
static bool is_utf8(struct span text, struct conf_faults *faults)
{
    struct conf_place place = {1, 1};
    while (text.len) {
        size_t bytes = utf8_bytes(text);
        if (bytes == 0) {
            conf_fault_add(faults, place, "a byte that is no UTF-8 text");
            return false;
        }
        place.column++;
        if (*text.ptr == '\n')
            place = (struct conf_place){place.line + 1, 1};
        text = span_from(text, bytes);
    }
    return true;
}

struct conf_value *conf_parse(struct arena *arena, struct span text, struct conf_faults *faults)
{
    if (!is_utf8(text, faults))
        return NULL;
    struct parser p = {.arena = arena, .faults = faults};
    struct conf_value *v = NULL;
    struct fy_diag_cfg diag_cfg;
    fy_diag_cfg_default(&diag_cfg);
    diag_cfg.fp = NULL;
    diag_cfg.colorize = false;
    p.diag = fy_diag_create(&diag_cfg);
    must(p.diag);
    fy_diag_set_collect_errors(p.diag, true);
    struct fy_parse_cfg cfg = {
        .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE,
        .diag = p.diag,
    };
    p.fy = fy_parser_create(&cfg);
    must(p.fy);
    p.anchors = must_alloc(CONF_PARSE_ANCHORS_MAX * sizeof *p.anchors);
    if (fy_parser_set_string(p.fy, text.len ? text.ptr : "", text.len) == 0)
        v = read_stream(&p);
    else
        stop_syntax(&p);
    if (p.event)
        fy_parser_event_free(p.fy, p.event);
    fy_parser_destroy(p.fy);
    fy_diag_destroy(p.diag);
    free(p.anchors);
    return p.stopped ? NULL : v;
}

static const struct conf_value *step(const struct conf_value *v, const char **path,
                                     struct conf_place *place)
{
    size_t len = strcspn(*path, ".[");
    if (**path == '[') {
        char *end;
        unsigned long index = strtoul(*path + 1, &end, 10);
        *path = end + 1;
        if (v->kind == CONF_VALUE_TEXT || index >= v->count)
            return NULL;
        *place = v->entries[index].value->place;
        return v->entries[index].value;
    }
    struct span key = span_of(*path, len);
    *path += len;
    for (uint32_t i = 0; v->kind == CONF_VALUE_MAP && i < v->count; i++)
        if (span_equal(v->entries[i].key, key)) {
            *place = v->entries[i].value->place;
            return v->entries[i].value;
        }
    return NULL;
}

/* NULL when it is not there; *place is then that of the nearest one around it. */
static const struct conf_value *walk(const struct conf_value *root, const char *path,
                                     struct conf_place *place)
{
    *place = root->place;
    while (root && *path) {
        root = step(root, &path, place);
        if (*path == '.')
            path++;
    }
    return root;
}

#define PATH_MAX_BYTES 256

struct conf_place conf_parse_place(const struct conf_value *root, const char *fmt, ...)
{
    char path[PATH_MAX_BYTES];
    struct conf_place place;
    va_list args;
    va_start(args, fmt);
    vsnprintf(path, sizeof path, fmt, args);
    va_end(args);
    walk(root, path, &place);
    return place;
}

bool conf_parse_has(const struct conf_value *root, const char *fmt, ...)
{
    char path[PATH_MAX_BYTES];
    struct conf_place place;
    va_list args;
    va_start(args, fmt);
    vsnprintf(path, sizeof path, fmt, args);
    va_end(args);
    return walk(root, path, &place) != NULL;
}
