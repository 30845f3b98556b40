/* tests/unit/node/io/fixture.h - certificates, socket pairs and a loop with a deadline, for
 * the tests of this folder. */
#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/conf.h"
#include "node/io/loop_ev.h"

static char fixture_dir[64];

__attribute__((unused)) static const char *fixture_path(const char *name)
{
    static char paths[16][256];
    static unsigned next;
    char *out = paths[next++ % 16];
    if (!fixture_dir[0]) {
        strcpy(fixture_dir, "/tmp/perigee_test_XXXXXX");
        assert_non_null(mkdtemp(fixture_dir));
    }
    snprintf(out, 256, "%s/%s", fixture_dir, name);
    return out;
}

__attribute__((unused)) static void fixture_clean(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", fixture_dir);
    if (fixture_dir[0])
        assert_int_equal(system(command), 0);
}

/* A self-signed certificate `name`.crt with `name`.key. alt: "DNS:a,DNS:*.b,IP:127.0.0.1" or
 * NULL; the common name is `cn`. pass: encrypts the key. */
__attribute__((unused)) static void fixture_certificate(const char *name, const char *cn,
                                                        const char *alt, const char *pass)
{
    char path[300];
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    assert_true(key && x);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), random());
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400);
    X509_set_pubkey(x, key);
    X509_NAME *n = X509_get_subject_name(x);
    X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
    X509_set_issuer_name(x, n);
    if (alt) {
        X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alt);
        assert_non_null(e);
        X509_add_ext(x, e, -1);
        X509_EXTENSION_free(e);
    }
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    snprintf(path, sizeof(path), "%s.crt", fixture_path(name));
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, x), 1);
    fclose(f);
    snprintf(path, sizeof(path), "%s.key", fixture_path(name));
    f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_PrivateKey(f, key, pass ? EVP_aes_128_cbc() : NULL, NULL, 0,
                                          NULL, pass ? (void *)(uintptr_t)pass : NULL),
                     1);
    fclose(f);
    X509_free(x);
    EVP_PKEY_free(key);
}

/* A loop whose tests end in time. */
struct fixture_loop {
    struct io_loop *loop;
    struct io_timer watchdog;
    bool late;
};

__attribute__((unused)) static void fixture_late(struct io_timer *t)
{
    struct fixture_loop *f = CONTAINER_OF(t, struct fixture_loop, watchdog);
    f->late = true;
    io_loop_stop(f->loop);
}

__attribute__((unused)) static void fixture_loop_init(struct fixture_loop *f)
{
    *f = (struct fixture_loop){.loop = io_loop_create()};
    io_timer_init(&f->watchdog, f->loop, fixture_late);
}

__attribute__((unused)) static void fixture_loop_run(struct fixture_loop *f)
{
    io_timer_set(&f->watchdog, f->loop->now_ms + 30000);
    io_loop_run(f->loop);
    io_timer_stop(&f->watchdog);
    assert_false(f->late);
}

__attribute__((unused)) static void fixture_loop_fini(struct fixture_loop *f)
{
    io_loop_destroy(f->loop);
}

/* A connected pair; [0] does not block. small: the least socket buffers there are. */
__attribute__((unused)) static void fixture_pair(int fd[2], bool small)
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    int bytes = 4096;
    for (int i = 0; i < 2 && small; i++)
        assert_int_equal(setsockopt(fd[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
    int flags = SOCK_NONBLOCK;
    assert_int_equal(ioctl(fd[0], FIONBIO, &flags), 0);
}
