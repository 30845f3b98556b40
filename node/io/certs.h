/* node/io/certs.h - certificates by host name: exact, wildcard, default.
 *
 * Names come from the certificate's subjectAltName (CN only without one). The first
 * certificate of a listener is its default. An exact name wins over a wildcard; "*.x" covers
 * one label. Key and chain are checked to match when loaded.
 *
 * Thread: read-only once made; counted.
 */
#pragma once

#include "conf/conf.h"

struct io_certs;
struct io_certs *io_certs_create(const struct conf_certificate *list, uint32_t count,
                                 struct conf_faults *faults); /* NULL: faults tell */
struct io_certs *io_certs_hold(struct io_certs *c);
void io_certs_drop(struct io_certs *c);

/* What follows is for io/tls.c. */
struct ssl_ctx_st;
uint32_t io_certs_count(const struct io_certs *c);
uint32_t io_certs_find(const struct io_certs *c, struct span lower_case_name); /* 0 = default */
/* Gives certificate, chain and key to a context; false: OpenSSL refused, faults tell. */
bool io_certs_use(const struct io_certs *c, uint32_t index, struct ssl_ctx_st *context,
                  struct conf_faults *faults);
