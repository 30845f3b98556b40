/* node/origin/origin.h - an origin's servers, shared by all workers.
 *
 * Counted: a setup holds its origins, a fetch the one it asks. A new setup takes over the
 * origin of the old one when nothing about it changed, so that counts and kept connections
 * survive a reload.
 *
 * Thread: any; counts are relaxed atomics.
 */
#pragma once

#include <stdatomic.h>

#include "conf/conf.h"

struct io_tls_context;

struct origin_server {
    const struct conf_origin_server *conf; /* in the origin's own copy */
    atomic_ullong requests, errors;
    atomic_uint in_flight;
};
struct origin {
    atomic_uint holders;
    struct arena arena;
    struct conf_origin conf;       /* a copy, owned */
    struct io_tls_context *tls;    /* for servers with https; NULL: none has it */
    uint8_t ca_sum[32];            /* SHA-256 of the CA file; zero: no such file counts */
    struct origin_server *servers; /* conf.server_count */
    atomic_uint next;              /* round robin, shared by the workers */
};

/* NULL: the faults say why (a CA file that cannot be read). */
struct origin *origin_create(const struct conf_origin *c, struct conf_faults *faults);
/* Would it be made the same again? Reads the CA file; the system's store is not looked at, it
 * is read when an origin is made. Places in the file do not matter. */
bool origin_is_same(const struct origin *o, const struct conf_origin *c);
struct origin *origin_hold(struct origin *o); /* returns o */
void origin_drop(struct origin *o);           /* NULL ok */
