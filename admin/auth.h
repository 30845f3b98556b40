/* admin/auth.h - token, scope, site.
 *
 * RFC 6750: "Authorization: Bearer ...". Tokens come from files, each in its file's first line;
 * only their SHA-256 is kept, and a request is compared with all of them in constant time.
 * Without any token configured, a loopback listener is open; any other answers nobody.
 *
 * Thread: control. Owns: the digests; conf is borrowed.
 * Limits: a token has 16 to 512 characters (RFC 6750's b64token).
 */
#pragma once

#include "base/http/fields.h"
#include "conf/conf.h"

enum admin_scope { ADMIN_SCOPE_NONE, ADMIN_SCOPE_READ, ADMIN_SCOPE_PURGE, ADMIN_SCOPE_ADMIN };

struct admin_auth;
/* Reads the token files; what is wrong goes into the faults and makes it NULL. */
struct admin_auth *admin_auth_create(const struct conf *conf, struct conf_faults *faults);
void admin_auth_destroy(struct admin_auth *a); /* NULL ok */

struct admin_caller {
    const struct conf_token *token; /* NULL: nobody, or everybody when open */
    bool open;                      /* no tokens on a loopback listener */
};
/* Who asks? ERR_REFUSED: a token was shown and none of ours is like it (401). */
NODISCARD enum err admin_auth_find(const struct admin_auth *a, const struct http_fields *f,
                                   bool local, struct admin_caller *out);
bool admin_auth_has(const struct admin_caller *c, enum admin_scope scope);
/* May the caller act on that site? Empty: on all of them at once. */
bool admin_auth_site(const struct admin_caller *c, struct span site);
