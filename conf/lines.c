#include "conf/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* The memory is reserved once: a queue that grows would leave copies behind. */
static enum err read_all(int fd, size_t max, struct buf *out)
{
    must(buf_reserve(out, max + 1));
    for (;;) {
        char *room = buf_reserve(out, max + 1 - buf_len(out));
        must(room);
        ssize_t got = read(fd, room, max + 1 - buf_len(out));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return ERR_SYS;
        buf_grew(out, (size_t)got);
        if (got == 0 || buf_len(out) > max)
            return ERR_OK;
    }
}

enum err conf_lines_read_file(int folder_fd, const char *path, size_t max, struct buf *out)
{
    int fd = openat(folder_fd, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return ERR_SYS;
    enum err err = read_all(fd, max, out);
    int why = errno;
    close(fd);
    errno = why;
    return err;
}

struct span conf_lines_trim(struct span line)
{
    line = span_trim(line);
    if (span_ends(line, SPAN("\r")))
        line.len--;
    return line;
}

void conf_lines_wipe(struct buf *b)
{
    if (b->mem)
        explicit_bzero(b->mem, b->room);
    buf_fini(b);
}

enum err conf_lines_read(const char *setting, const char *path, struct conf_place place,
                         conf_lines_take *take, void *user, struct conf_faults *faults)
{
    struct buf text;
    uint32_t before = faults->errors;
    unsigned number = 0, count = 0;
    buf_init(&text, 0);
    if (conf_lines_read_file(AT_FDCWD, path, CONF_LINES_BYTES, &text) != ERR_OK)
        conf_fault_add(faults, place, "%s: %s: %s", setting, path, strerror(errno));
    else if (buf_len(&text) > CONF_LINES_BYTES)
        conf_fault_add(faults, place, "%s: %s is larger than %d bytes", setting, path,
                       CONF_LINES_BYTES);
    struct span line, rest = buf_span(&text);
    while (faults->errors == before && span_split(&rest, '\n', &line)) {
        line = conf_lines_trim(line);
        number++;
        if (line.len == 0)
            continue;
        const char *wrong = take(user, line);
        if (wrong)
            conf_fault_add(faults, place, "%s: %s: line %u %s", setting, path, number, wrong);
        count++;
    }
    if (faults->errors == before && !count)
        conf_fault_add(faults, place, "%s: %s holds no key", setting, path);
    conf_lines_wipe(&text);
    return faults->errors == before ? ERR_OK : ERR_REFUSED;
}
