/* conf/check.h - do the settings of a file agree with each other?
 *
 * After conf_derive. What needs the outside (certificates, names) is checked by its users.
 * Values that were faulty on their own are passed over: one mistake, one fault.
 * Thread: any.
 */
#pragma once

#include "conf/parse.h"

/* `root`: the file's values, for their places. */
void conf_check(const struct conf *c, const struct conf_value *root,
                struct conf_faults *faults);
