/* conf/units.h - quantities with their unit, from text and back.
 *
 * A unit is always written: "30s", "2GiB", "50/s", "25%". One whole number, one unit, no space.
 * Thread: any. Errors: SYNTAX (no such form), LIMIT (does not fit).
 */
#pragma once

#include "base/span.h"

#define CONF_UNITS_TEXT_MAX 32

enum conf_unit {
    CONF_UNIT_NONE,    /* a plain number */
    CONF_UNIT_MS,      /* duration, kept in milliseconds: ms s m h d */
    CONF_UNIT_SECONDS, /* duration, kept in seconds: s m h d */
    CONF_UNIT_BYTES,   /* size: B KiB MiB GiB TiB */
    CONF_UNIT_RATE,    /* a second: /s */
    CONF_UNIT_PERCENT, /* % */
};

NODISCARD enum err conf_units_parse(enum conf_unit unit, struct span text, uint64_t *out_value);
/* In the largest unit that divides the value; returns out. */
const char *conf_units_print(enum conf_unit unit, uint64_t value,
                             char out[CONF_UNITS_TEXT_MAX]);
const char *conf_units_names(enum conf_unit unit);   /* "ms, s, m, h, d"; static */
const char *conf_units_example(enum conf_unit unit); /* "30s"; static */
