#include "conf/schema.h"

static const char *const introduction =
    "# Configuration\n"
    "\n"
    "One YAML file (`perigee serve -c FILE`, `perigee check FILE`). This page is made by\n"
    "`perigee config reference` from the table that also reads the file, so it tells what "
    "this\n"
    "build accepts; any other key is an error.\n"
    "\n"
    "- Quantities carry their unit: durations `ms s m h d`, sizes `B KiB MiB GiB TiB`, rates\n"
    "  `/s`, shares `%`. One whole number, one unit, no space: `30s`, `2GiB`, `50/s`, `25%`.\n"
    "- `${NAME}` and `${NAME:-default}` in a value are read from the environment; `$${` is a\n"
    "  literal `${`. Between `{ }` or `[ ]` such a value needs quotes.\n"
    "- Secrets are never in the file: settings name the file that holds them.\n"
    "- The file may have 1 MiB, 100,000 values, and anchors with aliases, but no tags and no\n"
    "  merge keys. `perigee check` tells every fault in one run, as `file:line:col: message`.\n"
    "\n"
    "The smallest useful file:\n"
    "\n"
    "```yaml\n"
    "listeners: [{ address: \":8080\" }]\n"
    "origins: { app: { servers: [{ url: \"http://127.0.0.1:3000\" }] } }\n"
    "sites: [{ hosts: [\"*\"] }]\n"
    "```\n";

static const char *kind_text(const struct conf_setting *s)
{
    static const char *const numbers[] = {
        [CONF_UNIT_NONE] = "number",      [CONF_UNIT_MS] = "duration",
        [CONF_UNIT_SECONDS] = "duration", [CONF_UNIT_BYTES] = "size",
        [CONF_UNIT_RATE] = "rate",        [CONF_UNIT_PERCENT] = "share",
    };
    switch (s->kind) {
    case CONF_TEXT:
    case CONF_TEXTS:
    case CONF_OWN:
        return s->shape;
    case CONF_NUMBER:
        return numbers[s->unit];
    case CONF_SWITCH:
        return "true or false";
    case CONF_CHOICE:
    case CONF_FLAGS:
    case CONF_UNBUILT:
        return "";
    case CONF_ADDRESS:
        return "address with port";
    case CONF_PREFIXES:
        return "addresses or prefixes";
    case CONF_PAIRS:
        return "field name: value";
    case CONF_SECTION:
        return "section";
    case CONF_LIST:
        return "sections";
    case CONF_NAMED:
        return "sections by name";
    }
    return "";
}

static bool is_list(enum conf_kind kind)
{
    return kind == CONF_TEXTS || kind == CONF_FLAGS || kind == CONF_PREFIXES ||
           kind == CONF_LIST;
}

static void print_type(const struct conf_setting *s, FILE *out)
{
    char low[CONF_UNITS_TEXT_MAX], high[CONF_UNITS_TEXT_MAX];
    const char *separator = "";
    fprintf(out, "%s%s", is_list(s->kind) ? "list of " : "", kind_text(s));
    if (s->kind == CONF_TEXTS)
        fputs(span_ends(span_text(s->shape), SPAN("s")) ? "es" : "s", out);
    if (s->kind == CONF_NUMBER)
        fprintf(out, ", %s to %s%s%s%s", conf_units_print(s->unit, s->min, low),
                conf_units_print(s->unit, s->max, high), s->word ? ", or `" : "",
                s->word ? s->word : "", s->word ? "`" : "");
    if (s->off)
        fputs(", or `off`", out);
    for (const struct conf_choice *c = s->choices; c && c->text; c++)
        if (!c->unbuilt) {
            fprintf(out, "%s`%s`", separator, c->text);
            separator = ", ";
        }
}

static void print_default(const struct conf_setting *s, FILE *out)
{
    if (s->required)
        fputs("required", out);
    else if (s->served)
        fputs("required, but of a member that serves nothing", out);
    else if (s->fallback && is_list(s->kind))
        fprintf(out, "`[%s]`", s->fallback);
    else if (s->fallback && s->kind != CONF_SECTION)
        fprintf(out, "`%s`", s->fallback);
    else if (s->derived)
        fputs(s->derived, out);
    else if (s->kind != CONF_SECTION)
        fputs("none", out);
}

static const char *ending(const struct conf_setting *s)
{
    return s->kind == CONF_LIST ? "[]" : s->kind == CONF_NAMED ? ".NAME" : "";
}

#define PATH_MAX_BYTES 128

/* A table of the section's own settings, then a heading and a table for each one within. */
static void print_section(const struct conf_section *section, const char *path, FILE *out)
{
    char inner[PATH_MAX_BYTES];
    fputs("\n| key | type | default | |\n|---|---|---|---|\n", out);
    for (size_t i = 0; i < section->count; i++) {
        const struct conf_setting *s = &section->settings[i];
        if (s->kind == CONF_UNBUILT)
            continue;
        fprintf(out, "| `%s` | ", s->key);
        print_type(s, out);
        fputs(" | ", out);
        print_default(s, out);
        fprintf(out, " | %s |\n", s->help);
    }
    for (size_t i = 0; i < section->count; i++) {
        const struct conf_setting *s = &section->settings[i];
        if (!s->inside)
            continue;
        snprintf(inner, sizeof inner, "%s%s%s%s", path, *path ? "." : "", s->key, ending(s));
        fprintf(out, "\n## `%s`\n", inner);
        print_section(s->inside, inner, out);
    }
}

void conf_reference_print(FILE *out)
{
    fputs(introduction, out);
    fputs("\n## The whole file\n", out);
    print_section(&conf_schema, "", out);
    fputs(
        "\n## Not built yet\n\nThese keys are planned, and an error until they do something: ",
        out);
    const char *separator = "";
    for (size_t i = 0; i < conf_schema.count; i++)
        if (conf_schema.settings[i].kind == CONF_UNBUILT) {
            fprintf(out, "%s`%s`", separator, conf_schema.settings[i].key);
            separator = ", ";
        }
    fputs(".\n", out);
}
