/* admin/admin.h - front door: the endpoint table; request in, response when ready.
 *
 * Sans-I/O: node/front/ask.c brings requests from any loop to control and takes answers back.
 * It asks the node only through admin/actions.h.
 *
 * Thread: control. Owns: tokens, pending answers.
 * Limits: request body ADMIN_BODY_MAX; ADMIN_PENDING_MAX answers that wait.
 */
#pragma once

#include "base/addr.h"
#include "base/http/message.h"
#include "conf/conf.h"

#define ADMIN_BODY_MAX (4u * 1024 * 1024)
#define ADMIN_PENDING_MAX 4096

struct admin;
struct admin_actions;

/* Reads the token files: what is wrong goes into the faults, with the place of the setting. */
struct admin *admin_create(const struct conf *conf, const struct admin_actions *actions,
                           void *node, struct conf_faults *faults);
void admin_destroy(struct admin *a); /* pending answers are dropped unsaid; NULL ok */
/* A new configuration was swapped in: takes over what waits. ERR_REFUSED leaves the old. */
NODISCARD enum err admin_reload(struct admin *a, const struct conf *conf,
                                struct conf_faults *faults);

struct admin_request {
    const struct http_request *request; /* borrowed until admin_handle returns */
    struct span body;                   /* whole; borrowed likewise */
    struct addr client;
    bool local; /* it came by a loopback listener: open without tokens */
    int64_t now_ms, now_s;
};
struct admin_answer {
    unsigned status;
    struct span content_type;
    struct http_fields fields; /* others: Retry-After, Location, WWW-Authenticate */
    struct span body;
};
/* Gets the answer, once, from inside admin_handle or later; all of it is borrowed until this
 * returns. */
typedef void admin_answered(void *user, const struct admin_answer *answer);

void admin_handle(struct admin *a, const struct admin_request *r, admin_answered *answered,
                  void *user);
/* PURGE /path on a data listener. `url` is the absolute URL asked for; `may_purge`: the
 * client's address is in purge_from; else a token of that site is needed. */
void admin_purge_method(struct admin *a, const struct admin_request *r, struct span url,
                        const struct conf_site *site, bool may_purge, admin_answered *answered,
                        void *user);
/* The one who asked went away: `answered` will not be called for `user` any more. */
void admin_forget(struct admin *a, void *user);
/* Time-outs of `wait`; about every 100 ms. */
void admin_tick(struct admin *a, int64_t now_ms);
