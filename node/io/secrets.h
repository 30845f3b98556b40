/* node/io/secrets.h - the cluster's secrets, as cluster.secret_file says.
 *
 * 32 bytes in base64 a line: the first one is used to speak, all are accepted. What is derived
 * from them (keys of gossip, of connections between nodes, of tickets) tells nothing of them.
 * Their memory is wiped when it is let go.
 *
 * Thread: read by any (it blocks); read-only once made; counted (base/snapshot.h).
 * Limits: IO_SECRETS_MAX lines, CONF_LINES_BYTES of a file.
 * Errors: faults with the setting's place.
 */
#pragma once

#include "base/snapshot.h"
#include "base/span.h"
#include "conf/conf.h"

#define IO_SECRETS_MAX 8 /* as many as the ring of gossip takes */
#define IO_SECRET_BYTES 32

struct io_secrets;
/* NULL: told. A line that comes twice counts once. Owned. */
struct io_secrets *io_secrets_read(const char *path, struct conf_place place,
                                   struct conf_faults *faults);
/* From `count` times IO_SECRET_BYTES; 1 to IO_SECRETS_MAX. Owned. */
struct io_secrets *io_secrets_create(const uint8_t *bytes, unsigned count);
struct io_secrets *io_secrets_hold(struct io_secrets *s);                      /* NULL ok */
void io_secrets_drop(struct io_secrets *s);                                    /* NULL ok */
unsigned io_secrets_count(const struct io_secrets *s);                         /* 0 for NULL */
struct span io_secrets_at(const struct io_secrets *s, unsigned i);             /* borrowed */
bool io_secrets_equal(const struct io_secrets *a, const struct io_secrets *b); /* NULL ok */
