#include "node/rights.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"

#define WORKERS_MAX 256 /* as conf allows */

static const struct conf_place nowhere = {0, 0};

enum err node_rights_find(const char *user, struct node_rights *out, struct conf_faults *faults)
{
    *out = (struct node_rights){.uid = geteuid(), .gid = getegid(), .user = user};
    if (!*user)
        return ERR_OK;
    errno = 0;
    const struct passwd *p = getpwnam(user);
    if (!p) {
        conf_fault_add(faults, nowhere, "node.user: there is no user \"%s\" here", user);
        return ERR_REFUSED;
    }
    if (p->pw_uid == out->uid)
        return ERR_OK;
    if (out->uid != 0) {
        conf_fault_add(faults, nowhere, "node.user: only root can become \"%s\"", user);
        return ERR_REFUSED;
    }
    out->change = true;
    out->uid = p->pw_uid;
    out->gid = p->pw_gid;
    return ERR_OK;
}

enum err node_rights_drop(const struct node_rights *r)
{
    if (!r->change)
        return ERR_OK;
    if (initgroups(r->user, r->gid) == 0 && setgid(r->gid) == 0 && setuid(r->uid) == 0) {
        must(r->uid == 0 || setuid(0) != 0); /* no way back */
        return ERR_OK;
    }
    log_line(LOG_ERROR, "user_not_changed", "user=%s why=\"%s\"", r->user, strerror(errno));
    return ERR_SYS;
}

uint64_t node_rights_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1024;
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return before;
    return limit.rlim_cur;
}

uint32_t node_rights_connections(uint32_t configured, uint64_t files, uint32_t workers)
{
    uint64_t allowed =
        files > NODE_RIGHTS_FILES_KEPT ? (files - NODE_RIGHTS_FILES_KEPT) / 2 : 0;
    uint64_t all = configured < allowed ? configured : allowed;
    return all > workers ? (uint32_t)(all / workers) : 1;
}

uint32_t node_rights_workers(uint32_t configured, int cpus)
{
    if (configured)
        return configured;
    if (cpus < 1)
        return 1;
    return cpus < WORKERS_MAX ? (uint32_t)cpus : WORKERS_MAX;
}

int node_rights_cpus(void)
{
    cpu_set_t set;
    /* A mask larger than the set is refused with EINVAL: more CPUs than we use anyway. */
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : WORKERS_MAX;
}
