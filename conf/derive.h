/* conf/derive.h - settings that follow from others: names, routes, sizes, inheritance.
 *
 * Thread: any. Owns: new strings and arrays, in conf's arena.
 * Errors: false when the arena is full.
 */
#pragma once

#include "conf/conf.h"

#define CONF_DERIVE_OBJECT_MAX UINT64_C(17112760320) /* what a body's chunks can hold */
#define CONF_DERIVE_NO_ORIGIN UINT32_MAX             /* a route whose origin there is not */

bool conf_derive(struct conf *c);
