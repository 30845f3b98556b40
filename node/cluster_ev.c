#include "node/cluster_ev.h"

#include <errno.h>
#include <ev.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/cluster_stream_ev.h"
#include "node/io/listen_ev.h"

struct node_cluster {
    struct io_loop *loop;
    struct cluster *core;
    int udp_fd, tcp_fd;
    bool v6; /* of udp_fd: takes IPv4 peers as mapped addresses */
    ev_io io;
    struct io_listener *listener;
    struct node_cluster_streams streams;
    struct io_timer timer;
    struct io_task task;
    bool settling;
    uint64_t unsent;
};

/* --- addresses --- */

static bool is_any(const struct addr *a)
{
    static const struct addr any = {0};
    return memcmp(a->ip, any.ip, sizeof any.ip) == 0;
}

/* As a socket of that family wants it. */
static socklen_t to_socket(const struct addr *a, bool v6, struct sockaddr_storage *out)
{
    if (!v6 || a->family != ADDR_V4)
        return addr_to_sockaddr(a, out);
    struct sockaddr_in6 *mapped = (struct sockaddr_in6 *)(void *)out;
    *mapped = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(a->port)};
    mapped->sin6_addr.s6_addr[10] = mapped->sin6_addr.s6_addr[11] = 0xff;
    memcpy(&mapped->sin6_addr.s6_addr[12], a->ip, 4);
    return sizeof *mapped;
}

static bool set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

static int bind_udp(const struct addr *address)
{
    struct sockaddr_storage sa;
    bool v6 = address->family == ADDR_V6;
    int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (!set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, NODE_CLUSTER_RECEIVE_BYTES)) /* if root */
        (void)set_option(fd, SOL_SOCKET, SO_RCVBUF, NODE_CLUSTER_RECEIVE_BYTES);
    if ((!v6 || set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, !is_any(address))) &&
        bind(fd, (struct sockaddr *)&sa, addr_to_sockaddr(address, &sa)) == 0)
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

/* ":7946" on a machine without IPv6 is IPv4's any address, as for listeners. */
static int bind_udp_or_v4(const struct addr *address)
{
    int fd = bind_udp(address);
    if (fd >= 0 || address->family != ADDR_V6 || !is_any(address) ||
        (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL))
        return fd;
    return bind_udp(&(struct addr){.family = ADDR_V4, .port = address->port});
}

enum err node_cluster_bind(const struct conf_cluster *c, struct node_cluster_ports *out,
                           struct conf_faults *faults)
{
    char text[ADDR_TEXT_MAX];
    *out = (struct node_cluster_ports){-1, -1};
    /* Without SO_REUSEPORT first: else the same user's other process would share the port. */
    if (io_listen_probe(&c->listen, c->listen_place, "cluster", faults) != ERR_OK ||
        io_listen_bind(&c->listen, c->listen_place, "cluster", faults, &out->tcp_fd) != ERR_OK)
        return ERR_SYS;
    out->udp_fd = bind_udp_or_v4(&c->listen);
    if (out->udp_fd >= 0)
        return ERR_OK;
    conf_fault_add(faults, c->listen_place, "cluster: cannot have %s by UDP: %s",
                   addr_print(&c->listen, true, text), strerror(errno));
    node_cluster_unbind(out);
    return ERR_SYS;
}

void node_cluster_unbind(struct node_cluster_ports *p)
{
    if (p->udp_fd >= 0)
        close(p->udp_fd);
    if (p->tcp_fd >= 0)
        close(p->tcp_fd);
    *p = (struct node_cluster_ports){-1, -1};
}

/* Where a datagram to `to` would come from; nothing is sent. */
static bool route_source(const char *to, struct addr *out)
{
    struct addr far;
    struct sockaddr_storage sa;
    must(addr_parse_with_port(span_text(to), &far) == ERR_OK);
    int fd = socket(far.family == ADDR_V6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    socklen_t len = addr_to_sockaddr(&far, &sa);
    bool good = connect(fd, (struct sockaddr *)&sa, len) == 0;
    len = sizeof sa;
    good = good && getsockname(fd, (struct sockaddr *)&sa, &len) == 0 &&
           addr_from_sockaddr((struct sockaddr *)&sa, out) == ERR_OK;
    close(fd);
    return good;
}

static bool usable(const struct ifaddrs *i, bool v6, struct addr *out)
{
    return i->ifa_addr && (i->ifa_flags & IFF_UP) && !(i->ifa_flags & IFF_LOOPBACK) &&
           addr_from_sockaddr(i->ifa_addr, out) == ERR_OK && out->scope_id == 0 &&
           (v6 || out->family == ADDR_V4);
}

/* A machine without a route outwards: any address that is not its own affair. */
static bool interface_address(bool v6, struct addr *out)
{
    struct ifaddrs *all = NULL;
    bool found = false;
    if (getifaddrs(&all) != 0)
        return false;
    for (const struct ifaddrs *i = all; i && !found; i = i->ifa_next)
        found = usable(i, v6, out);
    freeifaddrs(all);
    return found;
}

void node_cluster_advertised(const struct conf_cluster *c, struct addr *out)
{
    bool v6 = c->listen.family == ADDR_V6;
    *out = c->advertise.family != ADDR_NONE ? c->advertise : c->listen;
    if (!is_any(out))
        return;
    struct addr found;
    /* RFC 5737, RFC 3849: nobody's, so the way goes by the default route. */
    if (!route_source("192.0.2.1:9", &found) &&
        !(v6 && route_source("[2001:db8::1]:9", &found)) && !interface_address(v6, &found))
        found = (struct addr){.family = ADDR_V4, .ip = {127, 0, 0, 1}};
    found.port = out->port;
    *out = found;
}

/* --- out --- */

static void send_datagram(struct node_cluster *c, const struct cluster_swim_output *o)
{
    struct sockaddr_storage sa;
    socklen_t len = to_socket(&o->to, c->v6, &sa);
    ssize_t sent =
        sendto(c->udp_fd, o->bytes.ptr, o->bytes.len, 0, (struct sockaddr *)&sa, len);
    c->unsent += sent < 0;
}

static void settle(struct node_cluster *c)
{
    struct cluster_swim_output o;
    if (c->settling)
        return; /* a stream that cannot be opened: the loop below goes on */
    c->settling = true;
    while (cluster_next(c->core, &o))
        if (o.what == CLUSTER_SWIM_SEND)
            send_datagram(c, &o);
        else
            node_cluster_stream_do(&c->streams, &o);
    c->settling = false;
    int64_t due_ms = (cluster_deadline_us(c->core) + 999) / 1000;
    io_timer_set(&c->timer, due_ms > 1 ? due_ms : 1);
}

static void on_task(struct io_task *t)
{
    settle(CONTAINER_OF(t, struct node_cluster, task));
}

void node_cluster_settle(struct node_cluster *c)
{
    io_loop_soon(c->loop, &c->task, on_task);
}

/* --- in --- */

static void on_datagrams(struct ev_loop *ev, ev_io *w, int revents)
{
    (void)ev, (void)revents;
    struct node_cluster *c = w->data;
    for (int i = 0; i < NODE_CLUSTER_BURST; i++) {
        struct sockaddr_storage sa;
        struct addr from;
        socklen_t len = sizeof sa;
        ssize_t got = recvfrom(c->udp_fd, c->loop->input, IO_INPUT_BYTES, 0,
                               (struct sockaddr *)&sa, &len);
        if (got < 0 && errno == EAGAIN)
            break;
        if (got < 0) /* an ICMP error of an earlier one: the probes will notice */
            continue;
        if (addr_from_sockaddr((struct sockaddr *)&sa, &from) == ERR_OK)
            cluster_packet(c->core, &from, span_of(c->loop->input, (size_t)got), io_loop_us());
    }
    settle(c);
}

static void on_timer(struct io_timer *t)
{
    struct node_cluster *c = CONTAINER_OF(t, struct node_cluster, timer);
    cluster_tick(c->core, io_loop_us());
    node_cluster_streams_tick(&c->streams);
    settle(c);
}

static void on_stream_news(void *user)
{
    settle(user);
}

static void accepted(void *user, int fd, const struct addr *peer)
{
    struct node_cluster *c = user;
    node_cluster_stream_accept(&c->streams, fd, peer);
}

struct node_cluster *node_cluster_open(struct io_loop *loop, struct node_cluster_ports *ports,
                                       const struct cluster_conf *conf,
                                       const struct cluster_news *news)
{
    struct node_cluster *c = must_alloc(sizeof *c);
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    c->core = cluster_create(conf, news, io_loop_us());
    if (!c->core) {
        node_cluster_unbind(ports);
        free(c);
        return NULL;
    }
    c->loop = loop;
    c->udp_fd = ports->udp_fd;
    c->tcp_fd = ports->tcp_fd;
    c->v6 =
        getsockname(c->udp_fd, (struct sockaddr *)&sa, &len) == 0 && sa.ss_family == AF_INET6;
    node_cluster_streams_init(&c->streams, loop, c->core, on_stream_news, c);
    c->listener = io_listen_start(loop, c->tcp_fd, accepted, c);
    io_timer_init(&c->timer, loop, on_timer);
    ev_io_init(&c->io, on_datagrams, c->udp_fd, EV_READ);
    c->io.data = c;
    ev_io_start(loop->ev, &c->io);
    *ports = (struct node_cluster_ports){-1, -1};
    node_cluster_settle(c);
    return c;
}

void node_cluster_close(struct node_cluster *c)
{
    if (!c)
        return;
    io_task_cancel(&c->task);
    io_timer_stop(&c->timer);
    io_listen_stop(c->listener);
    node_cluster_streams_fini(&c->streams);
    ev_io_stop(c->loop->ev, &c->io);
    close(c->udp_fd);
    close(c->tcp_fd);
    cluster_destroy(c->core);
    free(c);
}

struct cluster *node_cluster_core(struct node_cluster *c)
{
    return c->core;
}

uint64_t node_cluster_unsent(const struct node_cluster *c)
{
    return c->unsent;
}
