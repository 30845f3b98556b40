#include "node/io/secrets.h"

#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "conf/lines.h"

struct io_secrets {
    struct snapshot counted;
    unsigned count;
    uint8_t at[IO_SECRETS_MAX][IO_SECRET_BYTES];
};

static void destroy(struct snapshot *counted)
{
    struct io_secrets *s = CONTAINER_OF(counted, struct io_secrets, counted);
    explicit_bzero(s->at, sizeof s->at);
    free(s);
}

static struct io_secrets *create(void)
{
    struct io_secrets *s = must_alloc(sizeof *s);
    snapshot_init(&s->counted, destroy);
    return s;
}

static const char *put(struct io_secrets *s, const uint8_t *bytes)
{
    for (unsigned i = 0; i < s->count; i++)
        if (memcmp(s->at[i], bytes, IO_SECRET_BYTES) == 0)
            return NULL;
    if (s->count == IO_SECRETS_MAX)
        return "is one key too many";
    memcpy(s->at[s->count++], bytes, IO_SECRET_BYTES);
    return NULL;
}

static const char *take(void *user, struct span line)
{
    uint8_t secret[IO_SECRET_BYTES];
    size_t len;
    const char *wrong = "is no base64 of 32 bytes (perigee cluster keygen makes one)";
    if (crypto_base64_decode(line, secret, sizeof secret, &len) == ERR_OK &&
        len == IO_SECRET_BYTES)
        wrong = put(user, secret);
    explicit_bzero(secret, sizeof secret);
    return wrong;
}

struct io_secrets *io_secrets_read(const char *path, struct conf_place place,
                                   struct conf_faults *faults)
{
    struct io_secrets *s = create();
    if (conf_lines_read("secret_file", path, place, take, s, faults) == ERR_OK)
        return s;
    io_secrets_drop(s);
    return NULL;
}

struct io_secrets *io_secrets_create(const uint8_t *bytes, unsigned count)
{
    struct io_secrets *s = create();
    must(count > 0 && count <= IO_SECRETS_MAX);
    for (unsigned i = 0; i < count; i++)
        must(!put(s, bytes + (size_t)i * IO_SECRET_BYTES));
    return s;
}

struct io_secrets *io_secrets_hold(struct io_secrets *s)
{
    if (s)
        snapshot_hold(&s->counted);
    return s;
}

void io_secrets_drop(struct io_secrets *s)
{
    if (s)
        snapshot_drop(&s->counted);
}

unsigned io_secrets_count(const struct io_secrets *s)
{
    return s ? s->count : 0;
}

struct span io_secrets_at(const struct io_secrets *s, unsigned i)
{
    must(s && i < s->count);
    return span_of(s->at[i], IO_SECRET_BYTES);
}

bool io_secrets_equal(const struct io_secrets *a, const struct io_secrets *b)
{
    if (!a || !b)
        return a == b;
    return a->count == b->count && memcmp(a->at, b->at, sizeof a->at) == 0;
}
