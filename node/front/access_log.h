/* node/front/access_log.h - where the lines of the access log go.
 *
 * A line goes into the loop's buffer of 64 KiB; a full one is posted to the scribe, one thread
 * for all, and the second one is filled meanwhile. When both are out, lines are dropped and
 * counted. What cannot be written (disk full, reader gone, or taking nothing for two seconds)
 * is dropped and counted too.
 *
 * Thread: a front_log is its loop's; the sink is shared.
 */
#pragma once

#include "node/front/access_line.h"

struct front_log_sink;
/* "stdout" or a file (appended, mode 0640). ERR_SYS: logged. */
NODISCARD enum err front_log_open(const char *path, struct front_log_sink **out);
/* Opens the path anew, after it was moved away (SIGHUP); ERR_SYS keeps the old file. */
NODISCARD enum err front_log_reopen(struct front_log_sink *s, const char *path);
void front_log_close(struct front_log_sink *s); /* writes what was posted; NULL ok */

struct front_log;
struct front_log *front_log_create(struct front_log_sink *s);
void front_log_write(struct front_log *l,
                     const struct front_log_line *line); /* NULL: nothing */
void front_log_flush(struct front_log *l);   /* posts what is there: once a second; NULL ok */
void front_log_destroy(struct front_log *l); /* posts and waits for what is out; NULL ok */
