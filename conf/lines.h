/* conf/lines.h - a small file of lines that a setting names, such as one of keys.
 *
 * Empty lines are left out, blanks around a line too. What was read is wiped afterwards.
 *
 * Thread: any (it blocks; a pipe is not waited for).
 * Limits: CONF_LINES_BYTES a file.
 * Errors: faults with the setting's place, which name the line, never what it holds.
 */
#pragma once

#include "base/buf.h"
#include "conf/conf.h"

#define CONF_LINES_BYTES 4096

/* At most `max` + 1 bytes of the file, so that the caller sees when it is too large. ERR_SYS
 * with errno. `folder_fd` may be AT_FDCWD. */
NODISCARD enum err conf_lines_read_file(int folder_fd, const char *path, size_t max,
                                        struct buf *out);
struct span conf_lines_trim(struct span line); /* blanks and a CR before its end */

/* Why the line is refused; NULL: it was taken. */
typedef const char *conf_lines_take(void *user, struct span line);
/* `setting` is the key's name. ERR_REFUSED: told; a file without a line is, too. */
NODISCARD enum err conf_lines_read(const char *setting, const char *path,
                                   struct conf_place place, conf_lines_take *take, void *user,
                                   struct conf_faults *faults);
/* Overwrites what a buffer holds, and lets it go. */
void conf_lines_wipe(struct buf *b);
