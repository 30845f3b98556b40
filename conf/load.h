/* conf/load.h - a file with the environment's ${NAME} to a struct conf, or every fault at once.
 *
 * `perigee check`, start and reload all come through here. Certificates, names and keys are
 * checked by who uses them, into the same list of faults.
 * Thread: any; reads the file and the environment. Limits: 1 MiB of file.
 */
#pragma once

#include "conf/conf.h"

/* NULL when the file has errors (all are in `faults`); else owned, perhaps with warnings. */
struct conf *conf_load(const char *path, struct conf_faults *faults);
struct conf *conf_load_text(struct span text, const char *name, struct conf_faults *faults);
