/* node/io/listen_ev.h - listening sockets: bind, hand over, accept.
 *
 * Bound once by control before rights are dropped, one SO_REUSEPORT socket per worker and
 * address, so that no accept is shared; kept over a reload when the address stays.
 *
 * Errors: a busy port or a forbidden one is one clear message with the setting's place.
 */
#pragma once

#include "base/addr.h"
#include "conf/conf.h"
#include "node/io/loop_ev.h"

/* Binds and listens; *out_fd owned. Faults: "listeners[web]: cannot listen on :80: address
 * already in use". */
NODISCARD enum err io_listen_bind(const struct addr *address, struct conf_place place,
                                  const char *name, struct conf_faults *faults, int *out_fd);

/* Is the address free of other processes? SO_REUSEPORT would let two of one user share it in
 * silence: to be asked before the first io_listen_bind of an address that is new. The same
 * fault as above. */
NODISCARD enum err io_listen_probe(const struct addr *address, struct conf_place place,
                                   const char *name, struct conf_faults *faults);

struct io_listener; /* accepting in one loop */
/* `accepted` gets a descriptor to own. Stops accepting for 100 ms on EMFILE (logged). */
struct io_listener *
io_listen_start(struct io_loop *l, int fd,
                void (*accepted)(void *user, int fd, const struct addr *peer), void *user);
void io_listen_stop(struct io_listener *l); /* does not close fd; NULL ok */
