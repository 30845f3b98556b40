#include "node/io/certs.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/snapshot.h"

#define CHAIN_MAX 16

struct certificate {
    struct conf_certificate from; /* only the place is used once loaded */
    char *path;
    X509 *leaf;
    STACK_OF(X509) * chain;
    EVP_PKEY *key;
};
struct name {
    char *text;     /* lower case; a wildcard's without "*" : ".example.com" */
    uint32_t index; /* whose */
};
struct names {
    struct name *at;
    uint32_t count, room;
};
struct io_certs {
    struct snapshot counted;
    struct certificate *list;
    uint32_t count;
    struct names exact, wildcard; /* sorted once made */
};

/* ---- names */

static void names_add(struct names *n, struct span text, uint32_t index)
{
    if (n->count == n->room) {
        n->room = n->room ? n->room * 2 : 8;
        n->at = must_realloc(n->at, n->room * sizeof(*n->at));
    }
    char *lower = span_dup(text);
    for (char *c = lower; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c + ('a' - 'A'));
    n->at[n->count++] = (struct name){lower, index};
}

static void add_name(struct io_certs *c, const char *bytes, int len, uint32_t index)
{
    struct span text = span_of(bytes, len > 0 ? (size_t)len : 0);
    size_t nul;
    if (text.len == 0 || text.len > 253 || span_find(text, '\0', &nul))
        return; /* no host can ask for it */
    if (span_starts(text, SPAN("*.")))
        names_add(&c->wildcard, span_from(text, 1), index);
    else
        names_add(&c->exact, text, index);
}

/* By text; of equal names the certificate that comes first in the file. */
static int name_order(const void *a, const void *b)
{
    const struct name *x = a, *y = b;
    int order = strcmp(x->text, y->text);
    return order ? order : x->index < y->index ? -1 : x->index > y->index;
}

static const struct name *names_find(const struct names *n, struct span text)
{
    uint32_t low = 0, high = n->count; /* the first that is not below text is in [low, high] */
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (span_compare(span_text(n->at[mid].text), text) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low < n->count && span_equal(span_text(n->at[low].text), text) ? &n->at[low] : NULL;
}

static void names_fini(struct names *n)
{
    for (uint32_t i = 0; i < n->count; i++)
        free(n->at[i].text);
    free(n->at);
}

/* RFC 6125 6.4.4: the common name counts only where there is no subjectAltName of our kind. */
static void collect_names(struct io_certs *c, uint32_t index)
{
    X509 *leaf = c->list[index].leaf;
    GENERAL_NAMES *alt = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(alt); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(alt, i);
        if (g->type == GEN_DNS)
            add_name(c, (const char *)ASN1_STRING_get0_data(g->d.dNSName),
                     ASN1_STRING_length(g->d.dNSName), index);
    }
    if (alt) {
        GENERAL_NAMES_free(alt);
        return;
    }
    const X509_NAME *subject = X509_get_subject_name(leaf);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at >= 0) {
        const ASN1_STRING *cn = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
        add_name(c, (const char *)ASN1_STRING_get0_data(cn), ASN1_STRING_length(cn), index);
    }
}

/* ---- files */

static BIO *open_file(const char *what, const char *path, struct conf_place place,
                      struct conf_faults *faults)
{
    errno = 0;
    BIO *b = BIO_new_file(path, "r");
    if (!b)
        conf_fault_add(faults, place, "cannot read %s %s: %s", what, path, strerror(errno));
    ERR_clear_error();
    return b;
}

static bool load_chain(struct certificate *c, struct conf_faults *faults)
{
    BIO *b = open_file("certificate", c->from.cert, c->from.place, faults);
    if (!b)
        return false;
    c->leaf = PEM_read_bio_X509(b, NULL, NULL, NULL);
    c->chain = sk_X509_new_null();
    X509 *next;
    while (c->leaf && c->chain && sk_X509_num(c->chain) < CHAIN_MAX &&
           (next = PEM_read_bio_X509(b, NULL, NULL, NULL)))
        if (!sk_X509_push(c->chain, next))
            X509_free(next);
    ERR_clear_error(); /* the end of the file is told as an error */
    BIO_free(b);
    if (!c->leaf) {
        conf_fault_add(faults, c->from.place, "%s holds no certificate in PEM form",
                       c->from.cert);
        return false;
    }
    if (X509_cmp_current_time(X509_get0_notAfter(c->leaf)) < 0)
        conf_fault_warn(faults, c->from.place, "certificate %s has expired", c->from.cert);
    return true;
}

static int no_password(char *out, int room, int writing, void *asked)
{
    (void)out, (void)room, (void)writing;
    *(bool *)asked = true;
    return -1;
}

static bool load_key(struct certificate *c, struct conf_faults *faults)
{
    BIO *b = open_file("key", c->from.key, c->from.place, faults);
    if (!b)
        return false;
    bool encrypted = false;
    c->key = PEM_read_bio_PrivateKey(b, NULL, no_password, &encrypted);
    BIO_free(b);
    ERR_clear_error();
    if (!c->key) {
        if (encrypted)
            conf_fault_add(faults, c->from.place,
                           "key %s is encrypted; give it without a pass phrase", c->from.key);
        else
            conf_fault_add(faults, c->from.place, "%s holds no private key in PEM form",
                           c->from.key);
        return false;
    }
    if (X509_check_private_key(c->leaf, c->key) != 1) {
        ERR_clear_error();
        conf_fault_add(faults, c->from.place, "key %s does not match certificate %s",
                       c->from.key, c->from.cert);
        return false;
    }
    return true;
}

/* ---- the list */

static void destroy(struct snapshot *s)
{
    struct io_certs *c = CONTAINER_OF(s, struct io_certs, counted);
    for (uint32_t i = 0; i < c->count; i++) {
        free(c->list[i].path);
        X509_free(c->list[i].leaf);
        sk_X509_pop_free(c->list[i].chain, X509_free);
        EVP_PKEY_free(c->list[i].key);
    }
    free(c->list);
    names_fini(&c->exact);
    names_fini(&c->wildcard);
    free(c);
}

struct io_certs *io_certs_create(const struct conf_certificate *list, uint32_t count,
                                 struct conf_faults *faults)
{
    must(count > 0);
    struct io_certs *c = must_alloc(sizeof(*c));
    snapshot_init(&c->counted, destroy);
    c->list = must_alloc(count * sizeof(*c->list));
    c->count = count;
    bool good = true;
    for (uint32_t i = 0; i < count; i++) {
        struct certificate *one = &c->list[i];
        one->from = list[i];
        one->path = span_dup(span_text(list[i].cert));
        if (load_chain(one, faults) && load_key(one, faults))
            collect_names(c, i);
        else
            good = false;
        one->from.cert = one->from.key = NULL; /* the configuration's, not ours to keep */
    }
    if (!good) {
        io_certs_drop(c);
        return NULL;
    }
    if (c->exact.count > 0)
        qsort(c->exact.at, c->exact.count, sizeof(*c->exact.at), name_order);
    if (c->wildcard.count > 0)
        qsort(c->wildcard.at, c->wildcard.count, sizeof(*c->wildcard.at), name_order);
    return c;
}

struct io_certs *io_certs_hold(struct io_certs *c)
{
    snapshot_hold(&c->counted);
    return c;
}

void io_certs_drop(struct io_certs *c)
{
    if (c)
        snapshot_drop(&c->counted);
}

uint32_t io_certs_count(const struct io_certs *c)
{
    return c->count;
}

uint32_t io_certs_find(const struct io_certs *c, struct span name)
{
    const struct name *found = names_find(&c->exact, name);
    size_t dot;
    if (!found && span_find(name, '.', &dot) && dot > 0)
        found = names_find(&c->wildcard, span_from(name, dot));
    return found ? found->index : 0;
}

bool io_certs_use(const struct io_certs *c, uint32_t index, struct ssl_ctx_st *context,
                  struct conf_faults *faults)
{
    const struct certificate *one = &c->list[index];
    if (SSL_CTX_use_cert_and_key(context, one->leaf, one->key, one->chain, 1) == 1)
        return true;
    const char *why = ERR_reason_error_string(ERR_peek_last_error());
    conf_fault_add(faults, one->from.place, "certificate %s cannot be used: %s", one->path,
                   why ? why : "refused");
    ERR_clear_error();
    return false;
}
