/* node/rights.h - what this process may do: as which user, with how many open files.
 *
 * Rights are dropped once, after the listeners are bound and the keys and token files are read;
 * what is opened later (cache, purge log, access log) is opened by the user, so that whatever
 * works at start still works at a reload.
 *
 * Thread: main, before others run. Errors: faults tell, or ERR_SYS which is logged.
 */
#pragma once

#include <sys/types.h>

#include "conf/conf.h"

struct node_rights {
    bool change; /* another user than the one we are */
    uid_t uid;
    gid_t gid;
    const char *user; /* borrowed from conf */
};

/* Who is `user` ("": nobody else)? ERR_REFUSED: there is none, or we may not become it. */
NODISCARD enum err node_rights_find(const char *user, struct node_rights *out,
                                    struct conf_faults *faults);
/* Becomes the user for good, with its groups. */
NODISCARD enum err node_rights_drop(const struct node_rights *r);

/* How many files may be open; first raised as far as it goes. */
uint64_t node_rights_files(void);
/* Pure: client connections of one worker. Each may need a connection to an origin too, and
 * NODE_RIGHTS_FILES_KEPT files are for everything else. At least 1. */
#define NODE_RIGHTS_FILES_KEPT 128
uint32_t node_rights_connections(uint32_t configured, uint64_t files, uint32_t workers);
/* Pure: how many workers: as configured, or (0) one for each CPU of the affinity mask. */
uint32_t node_rights_workers(uint32_t configured, int cpus);
int node_rights_cpus(void); /* in the affinity mask */
