/* node/setup/setup.h - all that one configuration becomes: built, checked, held as one.
 *
 * Start, reload and `perigee check` build it the same way: every fault goes into one list.
 * Sockets are not part of it: listeners are bound by control (node/ports.h).
 *
 * Thread: create by any (it reads files; not on a loop that serves); read-only once made but
 * for the origins' counts; counted (base/snapshot.h).
 */
#pragma once

#include "base/cidr.h"
#include "base/snapshot.h"
#include "node/io/tls_peer.h"
#include "node/origin/origin.h"
#include "node/setup/site.h"

struct setup_listener {
    const struct conf_listener *conf;
    bool is_peer;                 /* of other nodes alone: cluster.peer_listen */
    struct io_tls_context *tls;   /* NULL: clear text */
    struct cidr *trusted_proxies; /* NULL: none */
    uint16_t https_port;          /* with redirect_https: where to */
};
struct setup {
    struct snapshot snapshot;
    struct conf *conf; /* owned */
    struct setup_sites *sites;
    struct origin **origins;          /* as conf->origins; held */
    struct setup_listener *listeners; /* as conf->listeners, then that of other nodes */
    uint32_t listener_count;
    struct conf_listener peer_listener; /* what the last one's `conf` is */
    struct io_tls_context *admin_tls;   /* NULL: clear text, or no admin listener */
    struct io_secrets *secrets;         /* held; NULL: no cluster.secret_file */
    /* Between nodes; NULL without secrets or cluster. The same as before while those are. */
    struct io_tls_context *peer_server, *peer_client;
    uint64_t serial; /* 1, and one more with each reload */
    int64_t loaded_at_s;
};

/* `conf` is taken, also on error; `secrets` (NULL: none) are counted. `old` (NULL: none) gives
 * what did not change: origins, contexts between nodes. NULL: the faults have an error. */
struct setup *setup_create(struct conf *conf, struct io_secrets *secrets,
                           const struct setup *old, int64_t now_s, struct conf_faults *faults);
struct setup *setup_hold(struct setup *s); /* returns s */
void setup_drop(struct setup *s);          /* NULL ok */
