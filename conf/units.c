#include "conf/units.h"

#include <inttypes.h>
#include <stdio.h>

struct step {
    const char *name;
    uint64_t size;
};
/* Largest first; the last is the one that values are kept in. */
static const struct step none_steps[] = {{"", 1}, {NULL, 0}};
static const struct step ms_steps[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000},
                                       {"s", 1000},     {"ms", 1},      {NULL, 0}};
static const struct step seconds_steps[] = {
    {"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}, {NULL, 0}};
static const struct step bytes_steps[] = {{"TiB", UINT64_C(1) << 40},
                                          {"GiB", UINT64_C(1) << 30},
                                          {"MiB", UINT64_C(1) << 20},
                                          {"KiB", UINT64_C(1) << 10},
                                          {"B", 1},
                                          {NULL, 0}};
static const struct step rate_steps[] = {{"/s", 1}, {NULL, 0}};
static const struct step percent_steps[] = {{"%", 1}, {NULL, 0}};

static const struct {
    const struct step *steps;
    const char *names, *example;
} units[] = {
    [CONF_UNIT_NONE] = {none_steps, "", "10"},
    [CONF_UNIT_MS] = {ms_steps, "ms, s, m, h, d", "30s"},
    [CONF_UNIT_SECONDS] = {seconds_steps, "s, m, h, d", "30s"},
    [CONF_UNIT_BYTES] = {bytes_steps, "B, KiB, MiB, GiB, TiB", "64MiB"},
    [CONF_UNIT_RATE] = {rate_steps, "/s", "50/s"},
    [CONF_UNIT_PERCENT] = {percent_steps, "%", "25%"},
};

enum err conf_units_parse(enum conf_unit unit, struct span text, uint64_t *out_value)
{
    size_t digits = 0;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
        digits++;
    if (digits == 0)
        return ERR_SYNTAX;
    struct span name = span_from(text, digits);
    const struct step *step = units[unit].steps;
    while (step->name && !span_equal(name, span_text(step->name)))
        step++;
    if (!step->name)
        return ERR_SYNTAX;
    uint64_t value;
    if (!span_to_u64(span_until(text, digits), &value))
        return ERR_LIMIT;
    if (value > UINT64_MAX / step->size)
        return ERR_LIMIT;
    *out_value = value * step->size;
    return ERR_OK;
}

const char *conf_units_print(enum conf_unit unit, uint64_t value, char out[CONF_UNITS_TEXT_MAX])
{
    const struct step *step = units[unit].steps;
    while (step->size > 1 && (value == 0 || value % step->size != 0))
        step++;
    if (value == 0 && unit == CONF_UNIT_MS)
        step--; /* "0s", as people write it */
    snprintf(out, CONF_UNITS_TEXT_MAX, "%" PRIu64 "%s", value / step->size, step->name);
    return out;
}

const char *conf_units_names(enum conf_unit unit)
{
    return units[unit].names;
}

const char *conf_units_example(enum conf_unit unit)
{
    return units[unit].example;
}
