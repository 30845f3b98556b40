#include "cache/policy/hosts.h"

#include <stdlib.h>

#include "base/crypto.h"
#include "base/hash.h"
#include "cache/policy/key.h"

#define HOST_MAX POLICY_KEY_HOST_MAX
#define LABELS_MAX (HOST_MAX / 2 + 1)

/* An exact host, or what follows the '*' of "*.x" with its dot. */
struct slot {
    struct span host; /* lower case, owned */
    const struct conf_site *site;
};

struct policy_hosts {
    struct hash_key key;
    struct slot *slots; /* open addressing, at most half full */
    size_t mask;
    const struct conf_site *fallback; /* "*" */
    bool wildcards;
};

static struct slot *probe(const struct policy_hosts *s, struct span host)
{
    size_t at = (size_t)hash_sip64(&s->key, host) & s->mask;
    while (s->slots[at].site && !span_equal(s->slots[at].host, host))
        at = (at + 1) & s->mask;
    return &s->slots[at];
}

static char to_lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

/* As it is compared: lower case, without the dot at the end, "*.x" as ".x". */
static size_t host_key(const char *host, char out[HOST_MAX + 1])
{
    size_t len = strlen(host);
    if (len > 2 && host[0] == '*' && host[1] == '.') {
        host++;
        len--;
    }
    if (len > 1 && host[len - 1] == '.')
        len--;
    if (len > HOST_MAX)
        len = HOST_MAX;
    for (size_t i = 0; i < len; i++)
        out[i] = to_lower(host[i]);
    return len;
}

static void add_host(struct policy_hosts *s, const char *host, const struct conf_site *site)
{
    char key[HOST_MAX + 1];
    if (strcmp(host, "*") == 0) {
        s->fallback = site;
        return;
    }
    size_t len = host_key(host, key);
    struct slot *slot = probe(s, span_of(key, len));
    if (slot->site)
        return;
    slot->host = span_of(span_dup(span_of(key, len)), len);
    slot->site = site;
    s->wildcards = s->wildcards || key[0] == '.';
}

struct policy_hosts *policy_hosts_create(const struct conf *conf)
{
    struct policy_hosts *s = must_alloc(sizeof *s);
    size_t hosts = 0, slots = 8;
    for (uint32_t i = 0; i < conf->site_count; i++)
        hosts += conf->sites[i].hosts.count;
    while (slots < hosts * 2 + 1)
        slots *= 2;
    crypto_random(&s->key, sizeof s->key);
    s->slots = must_alloc(slots * sizeof *s->slots);
    s->mask = slots - 1;
    for (uint32_t i = 0; i < conf->site_count; i++)
        for (uint32_t k = 0; k < conf->sites[i].hosts.count; k++)
            add_host(s, conf->sites[i].hosts.at[k], &conf->sites[i]);
    return s;
}

void policy_hosts_destroy(struct policy_hosts *s)
{
    if (!s)
        return;
    for (size_t i = 0; i <= s->mask; i++)
        free((void *)(uintptr_t)s->slots[i].host.ptr);
    free(s->slots);
    free(s);
}

const struct conf_site *policy_hosts_site(const struct policy_hosts *s, struct span host)
{
    if (host.len > 1 && host.ptr[host.len - 1] == '.')
        host.len--;
    if (host.len == 0 || host.len > HOST_MAX)
        return s->fallback;
    const struct slot *slot = host.ptr[0] == '.' ? NULL : probe(s, host);
    if (slot && slot->site)
        return slot->site;
    size_t dot;
    struct span rest = host;
    for (int i = 0; s->wildcards && i < LABELS_MAX && span_find(span_from(rest, 1), '.', &dot);
         i++) {
        rest = span_from(rest, dot + 1);
        slot = probe(s, rest);
        if (slot->site)
            return slot->site;
        if (rest.len <= 1)
            break;
    }
    return s->fallback;
}
