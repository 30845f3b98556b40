/* node/front/ask.h - a request that control answers, and its way back.
 *
 * Admin requests, PURGE on data listeners, and what other nodes say. The ask carries copies
 * both ways: it is a letter to control's mailbox, waits there as long as control likes, and
 * comes home as a letter.
 *
 * Thread: made, forgotten and freed by the exchange's loop; handled and answered by control.
 * Owns: an arena with the request, then the answer. An ask that is forgotten while it is out is
 *       freed when it comes home; control answers every ask exactly once, at its own end too.
 * Limits: FRONT_ASK_BYTES for the request with its body, as much again for the answer.
 */
#pragma once

#include "admin/admin.h"
#include "node/front/front.h"

#define FRONT_ASK_BYTES ((size_t)8 << 20)
#define FRONT_PEER_PATH "/.perigee/" /* what other nodes POST there is for control */

struct front_ask {
    struct letter letter;
    struct front *front;
    void (*answered)(void *user, struct front_ask *a);
    void *user; /* NULL: forgotten */
    struct arena arena;
    /* There: */
    struct http_request request;
    struct span body;
    struct addr client;
    bool local;               /* by a loopback admin listener */
    bool is_purge, may_purge; /* PURGE on a data listener */
    struct span url;          /* absolute, with PURGE */
    bool is_peer;             /* of another node, `node_id`, who proved to be it */
    struct span node_id;
    struct setup *setup; /* held */
    const struct conf_site *site;
    /* Back: */
    struct admin_answer answer;
    /* Control's own: */
    struct front_ask *next, **prev;
    void *node;
};

struct front_desk { /* one for all loops; made by control */
    struct letter_mailbox *mailbox;
    void (*handle)(void *node, struct front_ask *a); /* in control's thread */
    void *node;
};

/* What front_ask_send copies; see struct front_ask. */
struct front_ask_what {
    const struct http_request *request;
    struct span body;
    struct addr client;
    bool local, is_purge, may_purge;
    struct span url;
    const char *node_id; /* NULL: no node's */
    struct setup *setup;
    const struct conf_site *site;
};
/* NULL: no memory. `answered` comes from the loop, never from inside. Afterwards the ask
 * belongs to the exchange, until front_ask_destroy. */
struct front_ask *front_ask_send(struct front *f, const struct front_ask_what *what,
                                 void (*answered)(void *user, struct front_ask *a), void *user);
/* A PURGE from an address that may: in effect at once, so that what follows it on any
 * connection need not wait until control gets to it. Not when control may still refuse it, over
 * a rate. */
void front_ask_purge_ahead(struct front *f, const struct front_ask_what *what, struct arena *a);
void front_ask_forget(struct front_ask *a);  /* while it is out */
void front_ask_destroy(struct front_ask *a); /* after it was answered; NULL ok */
/* Control: copies the answer (a bare 500 when it does not fit) and sends the ask home. */
void front_ask_answer(struct front_ask *a, const struct admin_answer *answer);
