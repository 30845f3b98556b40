#include "conf/read.h"

#include "conf/shape.h"
#include "conf/suggest.h"

struct reader {
    struct arena *arena;
    struct conf_faults *faults;
    bool full; /* told that the arena is */
};

static void read_section(struct reader *r, const struct conf_section *section,
                         const struct conf_value *v, void *out);

static void *field_of(void *out, const struct conf_setting *s)
{
    return (char *)out + s->at;
}

static void *take(struct reader *r, size_t bytes, struct conf_place place)
{
    void *room = arena_zalloc(r->arena, bytes);
    if (!room && !r->full)
        conf_fault_add(r->faults, place, "the file takes too much memory");
    r->full = r->full || !room;
    return room;
}

/* Offsets come from the schema and sizes from its fields, so memcpy is the honest store. */
static void put_pointer(void *field, const void *pointer)
{
    memcpy(field, &pointer, sizeof pointer);
}

static void put_count(void *out, const struct conf_setting *s, uint32_t count)
{
    memcpy((char *)out + s->count_at, &count, sizeof count);
}

static void put_number(void *out, const struct conf_setting *s, uint64_t value)
{
    uint32_t v32 = (uint32_t)value;
    uint16_t v16 = (uint16_t)value;
    bool v8 = value != 0;
    void *field = field_of(out, s);
    if (s->bytes == sizeof value)
        memcpy(field, &value, sizeof value);
    else if (s->bytes == sizeof v32)
        memcpy(field, &v32, sizeof v32);
    else if (s->bytes == sizeof v16)
        memcpy(field, &v16, sizeof v16);
    else if (s->bytes == sizeof v8)
        memcpy(field, &v8, sizeof v8);
    else
        must(s->bytes == 0);
}

static void put_switch(void *at, bool value)
{
    memcpy(at, &value, sizeof value);
}

/* Texts that go into a message are cut: a fault is one line. */
#define SHOWN_MAX 60
#define SHOWN(s) SPAN_ARG(span_until((s), (s).len < SHOWN_MAX ? (s).len : SHOWN_MAX))

static void fault_value(struct reader *r, const struct conf_setting *s,
                        const struct conf_value *v, const char *wrong)
{
    conf_fault_add(r->faults, v->place, "\"%s\": \"%.*s\" %s", s->key, SHOWN(v->text), wrong);
}

static bool want_text(struct reader *r, const struct conf_setting *s,
                      const struct conf_value *v, const char *what)
{
    if (v->kind == CONF_VALUE_TEXT && !v->nothing)
        return !v->bad;
    conf_fault_add(r->faults, v->place, "\"%s\" wants %s", s->key, what);
    return false;
}

static bool want_list(struct reader *r, const struct conf_setting *s,
                      const struct conf_value *v, const char *what)
{
    if (v->kind != CONF_VALUE_LIST) {
        conf_fault_add(r->faults, v->place, "\"%s\" wants a list of %s", s->key, what);
        return false;
    }
    if (s->max && v->count > s->max) {
        conf_fault_add(r->faults, v->place, "\"%s\" has more than %llu entries", s->key,
                       (unsigned long long)s->max);
        return false;
    }
    return true;
}

static void read_number(struct reader *r, const struct conf_setting *s,
                        const struct conf_value *v, void *out)
{
    uint64_t value;
    char low[CONF_UNITS_TEXT_MAX], high[CONF_UNITS_TEXT_MAX];
    const char *names = conf_units_names(s->unit);
    const char *example = conf_units_example(s->unit);
    if (!want_text(r, s, v, s->unit == CONF_UNIT_NONE ? "a number" : "a number with its unit"))
        return;
    if (s->word && span_equal(v->text, span_text(s->word))) {
        put_number(out, s, 0);
        return;
    }
    enum err err = conf_units_parse(s->unit, v->text, &value);
    if (err == ERR_SYNTAX && s->unit == CONF_UNIT_NONE) {
        conf_fault_add(r->faults, v->place, "\"%s\": \"%.*s\" is no whole number%s%s", s->key,
                       SHOWN(v->text), s->word ? " and not " : "", s->word ? s->word : "");
        return;
    }
    if (err == ERR_SYNTAX) {
        bool bare = conf_units_parse(CONF_UNIT_NONE, v->text, &value) != ERR_SYNTAX;
        conf_fault_add(r->faults, v->place, "\"%s\": \"%.*s\" %s: write for example %s (%s)",
                       s->key, SHOWN(v->text), bare ? "has no unit" : "is not understood",
                       example, names);
        return;
    }
    if (err != ERR_OK || value < s->min || value > s->max) {
        conf_fault_add(r->faults, v->place, "\"%s\": %.*s is out of range, %s to %s", s->key,
                       SHOWN(v->text), conf_units_print(s->unit, s->min, low),
                       conf_units_print(s->unit, s->max, high));
        return;
    }
    put_number(out, s, value);
}

static void read_switch(struct reader *r, const struct conf_setting *s,
                        const struct conf_value *v, void *out)
{
    if (!want_text(r, s, v, "true or false"))
        return;
    if (span_equal(v->text, SPAN("true")) || span_equal(v->text, SPAN("on")))
        put_switch(field_of(out, s), true);
    else if (span_equal(v->text, SPAN("false")) || span_equal(v->text, SPAN("off")))
        put_switch(field_of(out, s), false);
    else
        fault_value(r, s, v, "is not true or false (or on, off)");
}

/* The choice that was written, or NULL: told. */
static const struct conf_choice *choose(struct reader *r, const struct conf_setting *s,
                                        const struct conf_value *v)
{
    char known[128] = "";
    size_t used = 0;
    if (!want_text(r, s, v, "a text"))
        return NULL;
    const struct conf_choice *found = NULL;
    for (const struct conf_choice *c = s->choices; c->text; c++) {
        if (span_equal(v->text, span_text(c->text)))
            found = c;
        if (!c->unbuilt && used < sizeof known)
            used += (size_t)snprintf(known + used, sizeof known - used, "%s%s",
                                     used ? ", " : "", c->text);
    }
    if (found && !found->unbuilt)
        return found;
    conf_fault_add(r->faults, v->place, "\"%s\": \"%.*s\" %s: %s", s->key, SHOWN(v->text),
                   found ? "is not built yet, there is" : "is not one of", known);
    return NULL;
}

static void read_choice(struct reader *r, const struct conf_setting *s,
                        const struct conf_value *v, void *out)
{
    const struct conf_choice *c = choose(r, s, v);
    if (c)
        put_number(out, s, c->value);
}

static void read_flags(struct reader *r, const struct conf_setting *s,
                       const struct conf_value *v, void *out)
{
    if (!want_list(r, s, v, "texts"))
        return;
    if (v->count == 0 && !s->none)
        conf_fault_add(r->faults, v->place, "\"%s\" is empty", s->key);
    for (const struct conf_choice *c = s->choices; c->text; c++)
        if (!c->unbuilt) /* the default's */
            put_switch((char *)out + c->value, false);
    for (uint32_t i = 0; i < v->count; i++) {
        const struct conf_choice *c = choose(r, s, v->entries[i].value);
        if (c)
            put_switch((char *)out + c->value, true);
    }
}

/* A text as it is kept: borrowed from the tree, or a copy in lower case. */
static const char *keep_text(struct reader *r, const struct conf_setting *s,
                             const struct conf_value *v)
{
    if (!s->lower)
        return v->text.ptr;
    char *copy = take(r, v->text.len + 1, v->place);
    for (size_t i = 0; copy && i < v->text.len; i++) {
        char c = v->text.ptr[i];
        copy[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    return copy ? copy : "";
}

/* NULL: told. */
static const char *good_text(struct reader *r, const struct conf_setting *s,
                             const struct conf_value *v)
{
    char what[64];
    snprintf(what, sizeof what, "a text: %s", s->shape);
    if (!want_text(r, s, v, what))
        return NULL;
    const char *wrong = s->wrong(v->text);
    if (wrong) {
        fault_value(r, s, v, wrong);
        return NULL;
    }
    return keep_text(r, s, v);
}

static void read_text(struct reader *r, const struct conf_setting *s,
                      const struct conf_value *v, void *out)
{
    const char *text = good_text(r, s, v);
    if (text)
        put_pointer(field_of(out, s), text);
}

static void read_texts(struct reader *r, const struct conf_setting *s,
                       const struct conf_value *v, void *out)
{
    char what[64];
    snprintf(what, sizeof what, "texts (%s)", s->shape);
    if (!want_list(r, s, v, what))
        return;
    if (s->required && v->count == 0)
        conf_fault_add(r->faults, v->place, "\"%s\" is empty", s->key);
    struct conf_texts texts = {take(r, (v->count + 1) * sizeof *texts.at, v->place), v->count};
    if (!texts.at)
        return;
    for (uint32_t i = 0; i < v->count; i++) {
        const char *text = good_text(r, s, v->entries[i].value);
        texts.at[i] = text ? text : "";
    }
    memcpy(field_of(out, s), &texts, sizeof texts);
}

static void read_address(struct reader *r, const struct conf_setting *s,
                         const struct conf_value *v, void *out)
{
    struct addr address;
    if (!want_text(r, s, v, "an address with a port"))
        return;
    if (addr_parse_with_port(v->text, &address) != ERR_OK || address.port == 0)
        fault_value(r, s, v,
                    "is no address with a port: write \":80\", \"192.0.2.1:80\" or "
                    "\"[2001:db8::1]:80\"");
    else
        memcpy(field_of(out, s), &address, sizeof address);
}

static void read_prefixes(struct reader *r, const struct conf_setting *s,
                          const struct conf_value *v, void *out)
{
    if (!want_list(r, s, v, "addresses or prefixes"))
        return;
    struct addr_prefix *at = take(r, (v->count + 1) * sizeof *at, v->place);
    if (!at)
        return;
    for (uint32_t i = 0; i < v->count; i++) {
        const struct conf_value *one = v->entries[i].value;
        if (want_text(r, s, one, "a list of addresses or prefixes") &&
            addr_prefix_parse(one->text, &at[i]) != ERR_OK)
            fault_value(r, s, one,
                        "is no prefix: write \"10.0.0.0/8\" or \"2001:db8::/32\", "
                        "with the bits behind the prefix zero");
    }
    put_pointer(field_of(out, s), at);
    put_count(out, s, v->count);
}

static void read_pairs(struct reader *r, const struct conf_setting *s,
                       const struct conf_value *v, void *out)
{
    if (v->kind != CONF_VALUE_MAP || v->count > s->max) {
        conf_fault_add(r->faults, v->place, "\"%s\" wants a map, name: value%s", s->key,
                       v->kind == CONF_VALUE_MAP ? ", of fewer entries" : "");
        return;
    }
    struct conf_name_value *at = take(r, (v->count + 1) * sizeof *at, v->place);
    uint32_t count = 0;
    for (uint32_t i = 0; at && i < v->count; i++) {
        const struct conf_entry *entry = &v->entries[i];
        struct conf_value key = {.place = entry->place, .text = entry->key};
        struct conf_setting name = {.key = s->key,
                                    .lower = true,
                                    .shape = "field name",
                                    .wrong = conf_shape_added_name};
        struct conf_setting value = {
            .key = s->key, .shape = "field value", .wrong = conf_shape_added_value};
        if (entry->duplicate)
            continue;
        const char *name_text = good_text(r, &name, &key);
        const char *value_text = good_text(r, &value, entry->value);
        if (name_text && value_text)
            at[count++] = (struct conf_name_value){name_text, value_text};
    }
    if (!at)
        return;
    put_pointer(field_of(out, s), at);
    put_count(out, s, count);
}

static void read_own(struct reader *r, const struct conf_setting *s, const struct conf_value *v,
                     void *out)
{
    char what[64];
    snprintf(what, sizeof what, "a text: %s", s->shape);
    if (!want_text(r, s, v, what))
        return;
    const char *wrong = s->read(r->arena, v->text, out);
    if (wrong)
        fault_value(r, s, v, wrong);
}

static void read_inside(struct reader *r, const struct conf_setting *s,
                        const struct conf_value *v, void *out)
{
    if (s->off && v->kind == CONF_VALUE_TEXT && span_equal(v->text, SPAN("off"))) {
        put_switch((char *)out + s->given_at, false);
        return;
    }
    if (v->kind != CONF_VALUE_MAP) {
        conf_fault_add(r->faults, v->place, "\"%s\" wants a section%s", s->key,
                       s->off ? " or off" : "");
        return;
    }
    if (s->given_at)
        put_switch((char *)out + s->given_at, true);
    if (s->inside->place_at)
        memcpy((char *)field_of(out, s) + s->inside->place_at, &v->place, sizeof v->place);
    read_section(r, s->inside, v, field_of(out, s));
}

static void set_defaults(struct reader *r, const struct conf_section *section, void *out);

static void read_element(struct reader *r, const struct conf_setting *s,
                         const struct conf_value *v, void *element)
{
    const struct conf_section *inside = s->inside;
    set_defaults(r, inside, element);
    if (inside->place_at)
        memcpy((char *)element + inside->place_at, &v->place, sizeof v->place);
    if (v->kind == CONF_VALUE_MAP)
        read_section(r, inside, v, element);
    else
        conf_fault_add(r->faults, v->place, "an entry of \"%s\" wants a section", s->key);
}

static void read_list(struct reader *r, const struct conf_setting *s,
                      const struct conf_value *v, void *out)
{
    if (!want_list(r, s, v, "sections"))
        return;
    if (v->count == 0 && (s->required || s->served))
        conf_fault_add(r->faults, v->place, "\"%s\" is empty", s->key);
    char *at = take(r, v->count * s->inside->bytes + 1, v->place);
    if (!at)
        return;
    for (uint32_t i = 0; i < v->count; i++)
        read_element(r, s, v->entries[i].value, at + i * s->inside->bytes);
    put_pointer(field_of(out, s), at);
    put_count(out, s, v->count);
}

static void read_named(struct reader *r, const struct conf_setting *s,
                       const struct conf_value *v, void *out)
{
    if (v->kind != CONF_VALUE_MAP || v->count == 0 || v->count > s->max) {
        conf_fault_add(r->faults, v->place, "\"%s\" wants 1 to %llu sections by name", s->key,
                       (unsigned long long)s->max);
        return;
    }
    char *at = take(r, v->count * s->inside->bytes, v->place);
    uint32_t count = 0;
    for (uint32_t i = 0; at && i < v->count; i++) {
        const struct conf_entry *entry = &v->entries[i];
        char *element = at + count * s->inside->bytes;
        if (entry->duplicate)
            continue;
        const char *wrong = conf_shape_name(entry->key);
        if (wrong)
            conf_fault_add(r->faults, entry->place, "\"%s\": \"%.*s\" %s", s->key,
                           SHOWN(entry->key), wrong);
        read_element(r, s, entry->value, element);
        put_pointer(element, entry->key.ptr); /* the name, see schema.c */
        count++;
    }
    if (!at)
        return;
    put_pointer(field_of(out, s), at);
    put_count(out, s, count);
}

static void read_unbuilt(struct reader *r, const struct conf_setting *s,
                         const struct conf_value *v, void *out)
{
    (void)r;
    (void)s;
    (void)v;
    (void)out;
}

static void (*const readers[])(struct reader *r, const struct conf_setting *s,
                               const struct conf_value *v, void *out) = {
    [CONF_TEXT] = read_text,       [CONF_TEXTS] = read_texts,       [CONF_NUMBER] = read_number,
    [CONF_SWITCH] = read_switch,   [CONF_CHOICE] = read_choice,     [CONF_FLAGS] = read_flags,
    [CONF_ADDRESS] = read_address, [CONF_PREFIXES] = read_prefixes, [CONF_PAIRS] = read_pairs,
    [CONF_OWN] = read_own,         [CONF_SECTION] = read_inside,    [CONF_LIST] = read_list,
    [CONF_NAMED] = read_named,     [CONF_UNBUILT] = read_unbuilt,
};

static void unknown_key(struct reader *r, const struct conf_section *section,
                        const struct conf_entry *entry)
{
    struct conf_suggest near;
    conf_suggest_init(&near, entry->key);
    for (size_t i = 0; i < section->count; i++)
        conf_suggest_offer(&near, span_text(section->settings[i].key));
    if (near.best.len)
        conf_fault_add(r->faults, entry->place, "unknown key \"%.*s\", did you mean \"%.*s\"?",
                       SHOWN(entry->key), SPAN_ARG(near.best));
    else
        conf_fault_add(r->faults, entry->place, "unknown key \"%.*s\"", SHOWN(entry->key));
}

static const struct conf_setting *find(const struct conf_section *section, struct span key)
{
    for (size_t i = 0; i < section->count; i++)
        if (span_equal(key, span_text(section->settings[i].key)))
            return &section->settings[i];
    return NULL;
}

static void read_section(struct reader *r, const struct conf_section *section,
                         const struct conf_value *v, void *out)
{
    uint64_t seen = 0; /* by index; no section has 64 settings */
    must(section->count <= 64);
    for (uint32_t i = 0; i < v->count && !r->full; i++) {
        const struct conf_entry *entry = &v->entries[i];
        const struct conf_setting *s = find(section, entry->key);
        if (!s) {
            if (!entry->duplicate)
                unknown_key(r, section, entry);
            continue;
        }
        seen |= UINT64_C(1) << (s - section->settings);
        if (entry->duplicate)
            continue;
        if (s->kind == CONF_UNBUILT)
            conf_fault_add(r->faults, entry->place, "\"%s\" is not built yet: %s", s->key,
                           s->help);
        readers[s->kind](r, s, entry->value, out);
    }
    for (size_t i = 0; i < section->count; i++)
        if (section->settings[i].required && !(seen & (UINT64_C(1) << i)))
            conf_fault_add(r->faults, v->place, "\"%s\" is missing", section->settings[i].key);
}

#define DEFAULTS_MAX 24 /* texts of one setting */

/* A default goes through the same door as a file's value, as a text or a list of texts. */
static void set_default(struct reader *r, const struct conf_setting *s, void *out)
{
    struct conf_value texts[DEFAULTS_MAX] = {0}, v = {.text = span_text(s->fallback)};
    struct conf_entry entries[DEFAULTS_MAX] = {0};
    if (s->kind == CONF_TEXTS || s->kind == CONF_FLAGS) {
        struct span part, rest = v.text;
        must(s->lower ||
             s->kind == CONF_FLAGS); /* the parts are not NUL-ended until they are copied */
        v.kind = CONF_VALUE_LIST;
        v.entries = entries;
        while (span_split(&rest, ',', &part)) {
            must(v.count < ARRAY_LEN(texts));
            texts[v.count].text = span_trim(part);
            entries[v.count].value = &texts[v.count];
            v.count++;
        }
    }
    readers[s->kind](r, s, &v, out);
}

static void set_defaults(struct reader *r, const struct conf_section *section, void *out)
{
    static const char *const none = "";
    for (size_t i = 0; i < section->count; i++) {
        const struct conf_setting *s = &section->settings[i];
        if (s->kind == CONF_TEXT)
            put_pointer(field_of(out, s), none);
        if (s->optional)
            put_number(out, s, UINT64_MAX);
        if (s->kind == CONF_SECTION) {
            set_defaults(r, s->inside, field_of(out, s));
            if (s->fallback)
                put_switch((char *)out + s->given_at, true);
        } else if (s->fallback) {
            set_default(r, s, out);
        }
    }
}

void conf_read(const struct conf_section *section, const struct conf_value *value,
               struct arena *arena, struct conf_faults *faults, void *out)
{
    struct reader r = {.arena = arena, .faults = faults};
    set_defaults(&r, section, out);
    if (value->kind == CONF_VALUE_MAP)
        read_section(&r, section, value, out);
    else
        conf_fault_add(faults, value->place, "the file wants to be a map of settings");
}
