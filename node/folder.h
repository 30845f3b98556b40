/* node/folder.h - data_dir: made, given to the user, and ours alone.
 *
 * Two nodes on one folder would each take the other's cache for their own: the second one is
 * refused by flock, which ends with the process.
 *
 * Thread: main. Errors: ERR_REFUSED (a running process has it), ERR_SYS; logged.
 */
#pragma once

#include "node/rights.h"

/* Makes the folder when it is missing (0700; its parent must be there). One that was made now,
 * or is empty, is given to the user of `r`; what holds anything keeps its owner. *out_fd
 * (owned) is the open folder. */
NODISCARD enum err node_folder_make(const char *path, const struct node_rights *r, int *out_fd);
NODISCARD enum err node_folder_lock(int fd, const char *path);
