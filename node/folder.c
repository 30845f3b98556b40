#include "node/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

static bool is_empty(int fd)
{
    int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = again < 0 ? NULL : fdopendir(again);
    bool empty = dir != NULL;
    if (!dir && again >= 0)
        close(again);
    for (struct dirent *e; empty && (e = readdir(dir));)
        empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    if (dir)
        closedir(dir);
    return empty;
}

/* What is in it belongs to others, perhaps to whom we were at an earlier start. */
static void warn_of_owner(int fd, const char *path, const struct node_rights *r)
{
    struct stat st;
    if (r->change && fstat(fd, &st) == 0 && st.st_uid != r->uid)
        log_line(LOG_WARN, "folder_owner",
                 "path=%s owner=%u user=%s why=\"it is not empty, so it keeps its owner\"",
                 path, (unsigned)st.st_uid, r->user);
}

enum err node_folder_make(const char *path, const struct node_rights *r, int *out_fd)
{
    bool made = mkdir(path, 0700) == 0;
    int fd = -1;
    if (!made && errno != EEXIST)
        goto failed;
    /* Rights are given to the folder itself, never through a link that somebody put there. */
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (made ? O_NOFOLLOW : 0));
    if (fd < 0)
        goto failed;
    if (r->change && (made || is_empty(fd)) && fchown(fd, r->uid, r->gid) != 0)
        goto failed;
    warn_of_owner(fd, path, r);
    *out_fd = fd;
    return ERR_OK;
failed:
    log_line(LOG_ERROR, "folder", "path=%s why=\"%s\"", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return ERR_SYS;
}

enum err node_folder_lock(int fd, const char *path)
{
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return ERR_OK;
    if (errno == EWOULDBLOCK) {
        log_line(LOG_ERROR, "data_dir_in_use",
                 "why=\"data_dir %s belongs to a running process\"", path);
        return ERR_REFUSED;
    }
    log_line(LOG_ERROR, "folder", "path=%s why=\"cannot be locked: %s\"", path,
             strerror(errno));
    return ERR_SYS;
}
