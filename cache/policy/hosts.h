/* cache/policy/hosts.h - the sites of one configuration, looked up by host in constant time.
 *
 * Says what policy_key_site says, which compares every host of every site.
 *
 * Thread: read-only once made. Owns: itself; the configuration is borrowed.
 */
#pragma once

#include "base/span.h"
#include "conf/conf.h"

struct policy_hosts;
struct policy_hosts *policy_hosts_create(const struct conf *conf);
void policy_hosts_destroy(struct policy_hosts *h); /* NULL ok */
/* `host` is lower case, without port. NULL: no site serves it. */
const struct conf_site *policy_hosts_site(const struct policy_hosts *h, struct span host);
