/* admin/selector.h - what a purge's selector may name, and whose site that is.
 *
 * Thread: control. Owns: nothing.
 */
#pragma once

#include "base/arena.h"
#include "base/purge.h"
#include "conf/conf.h"

/* Can it name anything under this configuration? NULL, or what is wrong, for people. */
const char *admin_selector_wrong(const struct purge *p, const struct conf *conf,
                                 struct arena *a);
/* The site that a checked purge can only touch; empty: any. */
struct span admin_selector_site(const struct purge *p, const struct conf *conf,
                                struct arena *a);
