#include "node/io/resolve_ev.h"

#include <ares.h>
#include <ev.h>
#include <stdlib.h>

#include "base/crypto.h"
#include "base/hash.h"
#include "base/log.h"

#define ADDRESSES_MAX 16
#define NAMES_MAX 4096
#define BUCKETS 1024
#define NAME_BYTES_MAX 253
#define TTL_MIN_S 1
#define TTL_MAX_S 3600
#define AGAIN_MS 5000
#define TIMEOUT_MS 1500 /* then once more, twice as long */
#define TRIES 2

struct name {
    struct name *next; /* of its bucket */
    struct io_resolver *resolver;
    struct io_resolve_wait *waiting;
    struct addr addrs[ADDRESSES_MAX];
    unsigned count;         /* of the last good answer; 0: there was none */
    enum err failed;        /* how the last question ended; ERR_OK: well */
    int64_t fresh_until_ms; /* of what the last question told, good or bad */
    int64_t used_at_ms;
    bool asking;
    char text[]; /* lower case */
};

struct watcher { /* of one socket of c-ares */
    struct watcher *next;
    struct io_resolver *resolver;
    ev_io io;
};

struct io_resolver {
    struct io_loop *loop;
    ares_channel channel;
    struct io_timer timer;
    struct watcher *watchers;
    struct hash_key key;
    struct name *buckets[BUCKETS];
    unsigned name_count;
    bool ending;
};

/* ---- c-ares in the loop */

static void set_timer(struct io_resolver *r)
{
    struct timeval t;
    if (!ares_timeout(r->channel, NULL, &t)) {
        io_timer_set(&r->timer, 0);
        return;
    }
    int64_t wait_ms = (int64_t)t.tv_sec * 1000 + (t.tv_usec + 999) / 1000;
    io_timer_set(&r->timer, r->loop->now_ms + wait_ms);
}

static void on_timer(struct io_timer *t)
{
    struct io_resolver *r = CONTAINER_OF(t, struct io_resolver, timer);
    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    set_timer(r);
}

static void on_socket(struct ev_loop *ev, ev_io *io, int revents)
{
    (void)ev;
    struct io_resolver *r = ((struct watcher *)io->data)->resolver;
    int fd = io->fd; /* the watcher may go away */
    ares_process_fd(r->channel, revents & EV_READ ? fd : ARES_SOCKET_BAD,
                    revents & EV_WRITE ? fd : ARES_SOCKET_BAD);
    set_timer(r);
}

/* c-ares tells which events it wants of a socket; none: the socket is about to be closed. */
static void on_socket_state(void *data, ares_socket_t fd, int readable, int writable)
{
    struct io_resolver *r = data;
    struct watcher **at = &r->watchers, *w;
    while ((w = *at) && w->io.fd != fd)
        at = &w->next;
    if (w)
        ev_io_stop(r->loop->ev, &w->io);
    if (!readable && !writable) {
        if (w)
            *at = w->next;
        free(w);
        return;
    }
    if (!w) {
        w = must_alloc(sizeof(*w));
        w->resolver = r;
        w->next = r->watchers;
        r->watchers = w;
        ev_io_init(&w->io, on_socket, fd, 0);
        w->io.data = w;
    }
    ev_io_set(&w->io, fd, (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
    ev_io_start(r->loop->ev, &w->io);
}

static void channel_init(struct io_resolver *r, int timeout_ms)
{
    char lookups[] = "fb"; /* the hosts file, then DNS */
    struct ares_options o = {
        .timeout = timeout_ms,
        .tries = TRIES,
        .lookups = lookups,
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = r,
    };
    int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;
#ifdef ARES_OPT_QUERY_CACHE
    mask |= ARES_OPT_QUERY_CACHE; /* off (0): the cache is ours */
#endif
    int status = ares_init_options(&r->channel, &o, mask);
    if (status != ARES_SUCCESS)
        log_line(LOG_ERROR, "resolver_failed", "error=\"%s\"", ares_strerror(status));
    must(status == ARES_SUCCESS);
}

/* ---- names */

static enum err translate(int status)
{
    switch (status) {
    case ARES_SUCCESS:
        return ERR_OK;
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_EBADNAME:
        return ERR_NOT_FOUND;
    case ARES_ETIMEOUT:
    case ARES_ECONNREFUSED:
        return ERR_TIMEOUT;
    default:
        return ERR_LIB;
    }
}

static int ttl_of(const struct ares_addrinfo *answer)
{
    int ttl_s = TTL_MAX_S;
    for (const struct ares_addrinfo_cname *c = answer->cnames; c; c = c->next)
        ttl_s = c->ttl < ttl_s ? c->ttl : ttl_s;
    for (const struct ares_addrinfo_node *n = answer->nodes; n; n = n->ai_next)
        ttl_s = n->ai_ttl < ttl_s ? n->ai_ttl : ttl_s;
    return ttl_s > TTL_MIN_S ? ttl_s : TTL_MIN_S;
}

static unsigned take_addresses(const struct ares_addrinfo *answer, struct addr *out)
{
    unsigned count = 0;
    for (const struct ares_addrinfo_node *n = answer->nodes; n && count < ADDRESSES_MAX;
         n = n->ai_next)
        if (addr_from_sockaddr(n->ai_addr, &out[count]) == ERR_OK)
            out[count++].port = 0;
    return count;
}

static void tell(const struct name *n, struct io_resolve_wait *w)
{
    if (n->count > 0)
        w->resolved(w, ERR_OK, n->addrs, n->count);
    else
        w->resolved(w, n->failed, NULL, 0);
}

/* From copies: who is told may start questions that push this name out of the table, or ask for
 * it again. */
static void tell_all(struct name *n)
{
    struct addr addrs[ADDRESSES_MAX];
    unsigned count = n->count;
    enum err failed = n->failed;
    struct io_resolve_wait *waiting = n->waiting, *w;
    memcpy(addrs, n->addrs, sizeof(addrs));
    n->waiting = NULL;
    if (waiting)
        waiting->prev = &waiting;
    while ((w = waiting)) {
        io_resolve_cancel(w);
        if (count > 0)
            w->resolved(w, ERR_OK, addrs, count);
        else
            w->resolved(w, failed, NULL, 0);
    }
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *answer)
{
    static struct log_limit limit;
    (void)timeouts;
    struct name *n = arg;
    struct io_resolver *r = n->resolver;
    struct addr fresh[ADDRESSES_MAX];
    unsigned count = 0;
    int64_t now_ms = r->loop->now_ms;

    n->asking = false;
    n->failed = translate(status);
    if (status == ARES_SUCCESS && (count = take_addresses(answer, fresh)) == 0)
        n->failed = ERR_NOT_FOUND;
    if (count > 0) {
        memcpy(n->addrs, fresh, count * sizeof(*fresh));
        n->count = count;
        n->fresh_until_ms = now_ms + (int64_t)ttl_of(answer) * 1000;
    } else {
        n->fresh_until_ms = now_ms + AGAIN_MS;
    }
    if (answer)
        ares_freeaddrinfo(answer);
    if (r->ending)
        return;
    if (n->failed != ERR_OK)
        log_limited(&limit, 6, LOG_WARN, "name_not_resolved", "name=%s error=\"%s\" old=%u",
                    n->text, ares_strerror(status), n->count);
    tell_all(n);
}

static void ask(struct name *n)
{
    struct io_resolver *r = n->resolver;
    struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    n->asking = true;
    ares_getaddrinfo(r->channel, n->text, NULL, &hints, on_answer, n);
    set_timer(r);
}

static struct name **bucket_of(struct io_resolver *r, struct span text)
{
    return &r->buckets[hash_sip64(&r->key, text) % BUCKETS];
}

/* Makes room for one: the name that nobody has used for longest goes. False: all are asked. */
static bool drop_oldest(struct io_resolver *r)
{
    struct name **oldest = NULL;
    for (unsigned i = 0; i < BUCKETS; i++)
        for (struct name **at = &r->buckets[i]; *at; at = &(*at)->next)
            if (!(*at)->asking && !(*at)->waiting &&
                (!oldest || (*at)->used_at_ms < (*oldest)->used_at_ms))
                oldest = at;
    if (!oldest)
        return false;
    struct name *n = *oldest;
    *oldest = n->next;
    free(n);
    r->name_count--;
    return true;
}

static struct name *find_or_add(struct io_resolver *r, struct span host)
{
    char text[NAME_BYTES_MAX + 1];
    if (host.len == 0 || span_copy(host, text, sizeof(text)) != ERR_OK)
        return NULL;
    for (char *c = text; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c + ('a' - 'A'));
    struct span key = span_of(text, host.len);
    struct name **bucket = bucket_of(r, key), *n = *bucket;
    while (n && strcmp(n->text, text) != 0)
        n = n->next;
    if (n)
        return n;
    if (r->name_count >= NAMES_MAX && !drop_oldest(r))
        return NULL;
    n = must_alloc(sizeof(*n) + host.len + 1);
    memcpy(n->text, text, host.len + 1);
    n->resolver = r;
    bucket = bucket_of(r, key);
    n->next = *bucket;
    *bucket = n;
    r->name_count++;
    return n;
}

bool io_resolve(struct io_resolver *r, struct span host, struct io_resolve_wait *w,
                void (*resolved)(struct io_resolve_wait *w, enum err e,
                                 const struct addr *addrs, unsigned count))
{
    struct addr address;
    *w = (struct io_resolve_wait){.resolved = resolved};
    if (addr_parse(host, &address) == ERR_OK) {
        resolved(w, ERR_OK, &address, 1);
        return true;
    }
    struct name *n = find_or_add(r, host);
    if (!n) {
        resolved(w, ERR_LIMIT, NULL, 0);
        return true;
    }
    n->used_at_ms = r->loop->now_ms;
    if (!n->asking && r->loop->now_ms >= n->fresh_until_ms)
        ask(n); /* may know at once */
    /* While questions fail, the last good answer does not wait for the next failure. */
    if (!n->asking || (n->count > 0 && n->failed != ERR_OK)) {
        tell(n, w);
        return true;
    }
    w->next = n->waiting;
    if (w->next)
        w->next->prev = &w->next;
    w->prev = &n->waiting;
    n->waiting = w;
    return false;
}

void io_resolve_cancel(struct io_resolve_wait *w)
{
    if (!w->prev)
        return;
    *w->prev = w->next;
    if (w->next)
        w->next->prev = w->prev;
    w->next = NULL;
    w->prev = NULL;
}

/* ---- life */

struct io_resolver *io_resolver_create(struct io_loop *l)
{
    struct io_resolver *r = must_alloc(sizeof(*r));
    r->loop = l;
    crypto_random(&r->key, sizeof(r->key));
    io_timer_init(&r->timer, l, on_timer);
    channel_init(r, TIMEOUT_MS);
    return r;
}

void io_resolver_destroy(struct io_resolver *r)
{
    if (!r)
        return;
    r->ending = true;
    ares_destroy(r->channel); /* every question ends, every socket is closed */
    io_timer_stop(&r->timer);
    while (r->watchers)
        on_socket_state(r, r->watchers->io.fd, 0, 0);
    for (unsigned i = 0; i < BUCKETS; i++)
        for (struct name *n = r->buckets[i], *next; n; n = next) {
            next = n->next;
            must(!n->waiting);
            free(n);
        }
    free(r);
}

void io_resolver_use(struct io_resolver *r, const char *servers, int timeout_ms)
{
    r->ending = true;
    ares_destroy(r->channel);
    r->ending = false;
    channel_init(r, timeout_ms);
    must(ares_set_servers_ports_csv(r->channel, servers) == ARES_SUCCESS);
}
