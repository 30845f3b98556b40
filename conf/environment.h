/* conf/environment.h - ${NAME} and ${NAME:-default} in a text, from the environment.
 *
 * The default stands in when the variable is unset or empty, as in the shell; it is taken as
 * it is, up to the first '}'. "$${" is a literal "${"; any other '$' is itself.
 * Thread: any that may read the environment.
 * Owns: the text, in the arena, NUL-ended.
 * Limits: 64 KiB of expanded text.
 * Errors: each fault is told in `faults` and the answer is false.
 */
#pragma once

#include "conf/conf.h"

#define CONF_ENVIRONMENT_TEXT_MAX 65536

bool conf_environment_expand(struct arena *arena, struct span text, struct conf_place place,
                             struct conf_faults *faults, struct span *out);
