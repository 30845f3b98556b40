#include "base/addr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static void set_v6(struct addr *out, const uint8_t ip[16])
{
    if (memcmp(ip, mapped, sizeof(mapped)) == 0) {
        out->family = ADDR_V4;
        memcpy(out->ip, ip + 12, 4);
    } else {
        out->family = ADDR_V6;
        memcpy(out->ip, ip, 16);
    }
}

/* "eth0" or "2" */
static bool parse_scope(struct span text, uint32_t *out)
{
    char name[IF_NAMESIZE];
    uint64_t number;
    if (span_to_u64(text, &number) && number <= UINT32_MAX) {
        *out = (uint32_t)number;
        return number != 0;
    }
    if (text.len == 0 || span_copy(text, name, sizeof(name)))
        return false;
    *out = if_nametoindex(name);
    return *out != 0;
}

enum err addr_parse(struct span text, struct addr *out)
{
    struct addr a = {0};
    char copy[INET6_ADDRSTRLEN];
    uint8_t ip[16];
    size_t at;
    bool scoped = span_find(text, '%', &at);
    if (scoped && !parse_scope(span_from(text, at + 1), &a.scope_id))
        return ERR_SYNTAX;
    if (span_copy(scoped ? span_until(text, at) : text, copy, sizeof(copy)))
        return ERR_SYNTAX;
    if (!scoped && inet_pton(AF_INET, copy, a.ip) == 1)
        a.family = ADDR_V4;
    else if (inet_pton(AF_INET6, copy, ip) == 1)
        set_v6(&a, ip);
    if (a.family == ADDR_NONE || (scoped && a.family != ADDR_V6))
        return ERR_SYNTAX;
    *out = a;
    return ERR_OK;
}

enum err addr_parse_with_port(struct span text, struct addr *out)
{
    struct addr a = {.family = ADDR_V6};
    uint64_t port;
    size_t at;
    if (!span_rfind(text, ':', &at) || !span_to_u64(span_from(text, at + 1), &port) ||
        port == 0 || port > UINT16_MAX)
        return ERR_SYNTAX;
    struct span host = span_until(text, at);
    if (span_starts(host, SPAN("[")) && span_ends(host, SPAN("]"))) {
        host = span_of(host.ptr + 1, host.len - 2);
        if (addr_parse(host, &a) || !span_find(host, ':', &at))
            return ERR_SYNTAX;
    } else if (host.len && (addr_parse(host, &a) || span_find(host, ':', &at))) {
        return ERR_SYNTAX; /* "::1:80" could mean two things */
    }
    a.port = (uint16_t)port;
    *out = a;
    return ERR_OK;
}

/* The first `bits` of a and b are the same. */
static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    return memcmp(a, b, whole) == 0 && (rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0);
}

enum err addr_prefix_parse(struct span text, struct addr_prefix *out)
{
    struct addr_prefix p = {0};
    struct span left = text;
    size_t slash, colon;
    bool has_bits = span_find(text, '/', &slash);
    if (has_bits)
        left = span_until(text, slash);
    if (addr_parse(left, &p.addr) || p.addr.scope_id)
        return ERR_SYNTAX;
    uint64_t max = p.addr.family == ADDR_V4 ? 32 : 128;
    uint64_t bits = max;
    if (has_bits) {
        if (!span_to_u64(span_from(text, slash + 1), &bits))
            return ERR_SYNTAX;
        /* ::ffff:10.0.0.0/104 is 10.0.0.0/8; a shorter one would hold more than IPv4. */
        if (p.addr.family == ADDR_V4 && span_find(left, ':', &colon)) {
            if (bits < 96)
                return ERR_SYNTAX;
            bits -= 96;
        }
        if (bits > max)
            return ERR_SYNTAX;
    }
    p.bits = (uint8_t)bits;
    struct addr masked = p.addr;
    for (unsigned i = (unsigned)bits; i < max; i++)
        masked.ip[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
    if (memcmp(masked.ip, p.addr.ip, sizeof(masked.ip)) != 0)
        return ERR_REFUSED;
    *out = p;
    return ERR_OK;
}

bool addr_prefix_holds(const struct addr_prefix *p, const struct addr *a)
{
    return p->addr.family == a->family && a->family != ADDR_NONE &&
           same_bits(p->addr.ip, a->ip, p->bits);
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && a->port == b->port && a->scope_id == b->scope_id &&
           memcmp(a->ip, b->ip, a->family == ADDR_V4 ? 4 : 16) == 0;
}

bool addr_is_loopback(const struct addr *a)
{
    static const uint8_t one[16] = {[15] = 1};
    if (a->family == ADDR_V4)
        return a->ip[0] == 127;
    return a->family == ADDR_V6 && memcmp(a->ip, one, 16) == 0;
}

enum err addr_from_sockaddr(const struct sockaddr *sa, struct addr *out)
{
    *out = (struct addr){0};
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof(in));
        out->family = ADDR_V4;
        memcpy(out->ip, &in.sin_addr, 4);
        out->port = ntohs(in.sin_port);
        return ERR_OK;
    }
    if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof(in6));
        set_v6(out, in6.sin6_addr.s6_addr);
        out->port = ntohs(in6.sin6_port);
        out->scope_id = out->family == ADDR_V6 ? in6.sin6_scope_id : 0;
        return ERR_OK;
    }
    return ERR_REFUSED;
}

socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof(*out));
    if (a->family == ADDR_V4) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(a->port)};
        memcpy(&in.sin_addr, a->ip, 4);
        memcpy(out, &in, sizeof(in));
        return sizeof(in);
    }
    must(a->family == ADDR_V6);
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(a->port)};
    memcpy(&in6.sin6_addr, a->ip, 16);
    in6.sin6_scope_id = a->scope_id;
    memcpy(out, &in6, sizeof(in6));
    return sizeof(in6);
}

const char *addr_print(const struct addr *a, bool with_port, char out[ADDR_TEXT_MAX])
{
    char ip[INET6_ADDRSTRLEN] = "-", scope[12] = "", port[8] = "";
    bool brackets = with_port && a->family == ADDR_V6;
    if (a->family != ADDR_NONE)
        (void)inet_ntop(a->family == ADDR_V4 ? AF_INET : AF_INET6, a->ip, ip, sizeof(ip));
    if (a->scope_id)
        (void)snprintf(scope, sizeof(scope), "%%%u", a->scope_id);
    if (with_port)
        (void)snprintf(port, sizeof(port), ":%u", a->port);
    (void)snprintf(out, ADDR_TEXT_MAX, "%s%s%s%s%s", brackets ? "[" : "", ip, scope,
                   brackets ? "]" : "", port);
    return out;
}
