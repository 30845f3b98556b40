/* conf/read.h - fills a struct from the values of a file, as a section of the schema says.
 *
 * Defaults first, then what is written. Every fault is told; what is faulty keeps its default.
 * A list keeps a place for each of its faulty elements, so that indices agree with the file.
 * Thread: any.
 * Owns: strings and arrays, in the arena; `out` must be zeroed.
 */
#pragma once

#include "conf/parse.h"
#include "conf/schema.h"

void conf_read(const struct conf_section *section, const struct conf_value *value,
               struct arena *arena, struct conf_faults *faults, void *out);
