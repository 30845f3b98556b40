/* node/node.h - one running node: what the files of this folder share.
 *
 * Filled step by step by node/serve.c, run by node/control_ev.c, taken apart by node/serve.c.
 *
 * Thread: control. Owns: all that it points to.
 */
#pragma once

#include <stdatomic.h>

#include "node/drain.h"
#include "node/front/access_log.h"
#include "node/front/ask.h"
#include "node/load.h"
#include "node/member.h"
#include "node/peers_ev.h"
#include "node/ports.h"
#include "node/purges.h"
#include "node/rights.h"

struct node_worker;

struct node_reload { /* node/reload.c's */
    struct letter_crew *builder;
    struct letter letter;
    bool building;       /* the letter is out */
    bool again;          /* another one was asked for meanwhile */
    struct setup *under; /* held: the setup in force when building began */
    struct setup *built; /* NULL: the faults say why */
    struct conf_faults faults;
};

struct node_swap { /* a setup on its way to the workers */
    struct node_swap *next;
    struct node *node;
    uint32_t out;               /* workers that have not taken it */
    struct setup *leaving;      /* held: what they have until then; NULL at start */
    struct front_log_sink *log; /* that nobody uses any more then; NULL */
};

struct node_crowd { /* node/crowd.c's: what the workers were told last */
    struct origin_peers *peers;
    struct front_vector *vector;
    uint64_t vector_serial;
    bool told;
    uint64_t view;             /* of gossip, when that was looked at last */
    const struct setup *setup; /* then; for comparison alone */
    int64_t looked_ms;
};

struct node {
    const char *file; /* the configuration */
    struct io_loop *loop;
    struct setup *setup; /* held: the one in force */
    struct node_rights rights;
    uint64_t files; /* that may be open */
    int folder_fd;  /* data_dir, locked; -1 */

    struct node_ports *ports;
    int admin_fd; /* the admin listener's; -1 */
    struct io_listener *admin_listener;
    struct node_keys keys; /* of gossip, as the files say */
    struct node_cluster_ports cluster_ports;
    struct node_member *member; /* NULL: no cluster */
    atomic_uint told;           /* invalidations on their way to control (node/spread.c) */
    atomic_ullong untold;       /* those for which there was no room */
    struct node_peers *peers;   /* NULL: no cluster, or stopping */
    struct setup *sweeping;     /* held for the cache's sweep; NULL: none */
    struct node_load load;
    struct node_crowd crowd;
    struct front_log_sink *log; /* NULL: no access log */
    struct node_purges *purges;
    struct cache *cache;
    struct admin *admin;

    struct front front;     /* of the admin listener */
    struct front_desk desk; /* where all fronts ask */
    struct front_ask *asks; /* that admin has not answered */
    struct node_worker **workers;
    uint32_t worker_count;
    uint32_t workers_started, workers_ended;
    struct node_swap *swaps;

    struct node_reload reload;
    struct node_drain drain;
    bool stop_asked, stop_hurry;
    bool serving; /* the workers have their first setup */
    int64_t began_ms;
};
