#include "node/io/listen_ev.h"

#include <errno.h>
#include <ev.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#define BACKLOG 4096 /* the kernel cuts it to net.core.somaxconn */
#define ACCEPTS_PER_TURN 16
#define NO_DESCRIPTOR_MS 100

struct io_listener {
    struct io_loop *loop;
    ev_io io;
    struct io_timer rest; /* after EMFILE */
    void (*accepted)(void *user, int fd, const struct addr *peer);
    void *user;
    bool *stopped; /* set while `accepted` runs: told when it stopped this listener */
};

static bool set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) == 0;
}

static bool is_any(const struct addr *a)
{
    static const uint8_t zero[16];
    return memcmp(a->ip, zero, a->family == ADDR_V4 ? 4 : 16) == 0;
}

/* A listening socket, or -1 with errno. The any address of IPv6 takes IPv4 too, and becomes
 * that of IPv4 on a machine without IPv6. */
static int listen_on(const struct addr *address, bool shared)
{
    struct addr use = *address;
    struct sockaddr_storage sa;
    int fd = -1;
    for (int try = 0; fd < 0 && try < 2; try++) {
        socklen_t len = addr_to_sockaddr(&use, &sa);
        fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        bool v6 = use.family == ADDR_V6;
        if (fd >= 0 && set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) &&
            (!shared || set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1)) &&
            (!v6 || set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, !is_any(&use))) &&
            bind(fd, (struct sockaddr *)&sa, len) == 0 && listen(fd, BACKLOG) == 0)
            return fd;
        int why = errno;
        if (fd >= 0)
            close(fd);
        fd = -1;
        errno = why;
        if (!v6 || !is_any(&use) || (why != EAFNOSUPPORT && why != EADDRNOTAVAIL))
            return -1;
        use = (struct addr){.family = ADDR_V4, .port = address->port};
    }
    return fd;
}

static enum err listen_or_tell(const struct addr *address, bool shared, struct conf_place place,
                               const char *name, struct conf_faults *faults, int *out_fd)
{
    int fd = listen_on(address, shared);
    if (fd >= 0) {
        *out_fd = fd;
        return ERR_OK;
    }
    char text[ADDR_TEXT_MAX], reason[128];
    int why = errno;
    strncpy(reason, strerror(why), sizeof(reason) - 1);
    reason[sizeof(reason) - 1] = 0;
    if (reason[0] >= 'A' && reason[0] <= 'Z')
        reason[0] = (char)(reason[0] + ('a' - 'A'));
    conf_fault_add(faults, place, "%s: cannot listen on %s: %s", name,
                   addr_print(address, true, text), reason);
    return ERR_SYS;
}

enum err io_listen_bind(const struct addr *address, struct conf_place place, const char *name,
                        struct conf_faults *faults, int *out_fd)
{
    return listen_or_tell(address, true, place, name, faults, out_fd);
}

enum err io_listen_probe(const struct addr *address, struct conf_place place, const char *name,
                         struct conf_faults *faults)
{
    int fd;
    enum err e = listen_or_tell(address, false, place, name, faults, &fd);
    if (e == ERR_OK)
        close(fd);
    return e;
}

/* True: go on accepting in this turn. */
static bool accept_one(struct io_listener *l)
{
    static struct log_limit limit;
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    struct addr peer = {0};
    int fd = accept4(l->io.fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            log_limited(&limit, 6, LOG_ERROR, "accept_paused", "for_ms=%d error=%s",
                        NO_DESCRIPTOR_MS,
                        log_quote(span_text(strerror(errno)), (char[128]){0}, 128));
            ev_io_stop(l->loop->ev, &l->io);
            io_timer_set(&l->rest, l->loop->now_ms + NO_DESCRIPTOR_MS);
        }
        return errno == EINTR || errno == ECONNABORTED;
    }
    if (addr_from_sockaddr((struct sockaddr *)&sa, &peer) != ERR_OK)
        peer = (struct addr){.family = ADDR_NONE};
    bool stopped = false;
    l->stopped = &stopped;
    l->accepted(l->user, fd, &peer);
    if (stopped)
        return false;
    l->stopped = NULL;
    return true;
}

static void on_event(struct ev_loop *ev, ev_io *w, int revents)
{
    (void)ev, (void)revents;
    struct io_listener *l = w->data;
    for (int i = 0; i < ACCEPTS_PER_TURN && accept_one(l); i++)
        ;
}

static void on_rested(struct io_timer *t)
{
    struct io_listener *l = CONTAINER_OF(t, struct io_listener, rest);
    ev_io_start(l->loop->ev, &l->io);
}

struct io_listener *
io_listen_start(struct io_loop *loop, int fd,
                void (*accepted)(void *user, int fd, const struct addr *peer), void *user)
{
    struct io_listener *l = must_alloc(sizeof(*l));
    l->loop = loop;
    l->accepted = accepted;
    l->user = user;
    io_timer_init(&l->rest, loop, on_rested);
    ev_io_init(&l->io, on_event, fd, EV_READ);
    l->io.data = l;
    ev_io_start(loop->ev, &l->io);
    return l;
}

void io_listen_stop(struct io_listener *l)
{
    if (!l)
        return;
    if (l->stopped)
        *l->stopped = true;
    io_timer_stop(&l->rest);
    ev_io_stop(l->loop->ev, &l->io);
    free(l);
}
