#include "node/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/crypto.h"
#include "conf/lines.h"

_Static_assert(IO_SECRETS_MAX == WIRE_KEYS_MAX, "each secret has its key");

#define KEPT_NEW NODE_KEYS_KEPT ".new"
#define HASH_WORD "from "

/* --- what the files say --- */

enum err node_keys_secrets(const struct conf_cluster *c, struct io_secrets **out,
                           struct conf_faults *faults)
{
    *out = NULL;
    if (!c->on || !*c->secret_file)
        return ERR_OK;
    *out = io_secrets_read(c->secret_file, c->secret_place, faults);
    return *out ? ERR_OK : ERR_REFUSED;
}

/* As many as there are secrets fit: IO_SECRETS_MAX. */
static enum err derive(const struct io_secrets *secrets, struct wire_keyring *ring)
{
    struct wire_key key;
    enum err err = ERR_OK;
    for (unsigned i = 0; i < io_secrets_count(secrets) && err == ERR_OK; i++) {
        err = wire_keyring_derive(io_secrets_at(secrets, i), &key);
        if (err == ERR_OK)
            err = wire_keyring_install(ring, wire_key_span(&key));
    }
    explicit_bzero(&key, sizeof key);
    return err;
}

static const char *take_key(void *user, struct span line)
{
    struct wire_keyring *ring = user;
    struct wire_key key;
    if (wire_key_parse(line, &key) != ERR_OK)
        return "is no base64 of 16, 24 or 32 bytes";
    return wire_keyring_install(ring, wire_key_span(&key)) == ERR_OK ? NULL
                                                                     : "is one key too many";
}

static void hash_ring(const struct wire_keyring *ring, uint8_t out[32])
{
    char text[WIRE_KEY_TEXT_MAX];
    struct buf all;
    buf_init(&all, 0);
    for (unsigned i = 0; i < ring->count; i++)
        must(buf_printf(&all, "%s\n", wire_key_print(&ring->keys[i], text)) == ERR_OK);
    must(crypto_sha256(buf_span(&all), out) == ERR_OK);
    buf_fini(&all);
}

enum err node_keys_read(const struct conf_cluster *c, const struct io_secrets *secrets,
                        struct node_keys *out, struct conf_faults *faults)
{
    struct node_keys k = {.source = *c->gossip_key_file ? "gossip_key_file" : "secret_file"};
    if (*c->gossip_key_file) {
        if (conf_lines_read("gossip_key_file", c->gossip_key_file, c->gossip_key_place,
                            take_key, &k.ring, faults) != ERR_OK)
            return ERR_REFUSED;
    } else if (derive(secrets, &k.ring) != ERR_OK) {
        conf_fault_add(faults, c->secret_place, "secret_file: no key can be derived");
        return ERR_REFUSED;
    }
    hash_ring(&k.ring, k.said);
    *out = k;
    return ERR_OK;
}

/* --- the ring that is kept --- */

static void print_hash(const uint8_t hash[32], char out[65])
{
    for (size_t i = 0; i < 32; i++)
        snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

void node_keys_print(const struct node_keys *k, struct buf *out)
{
    char hash[65], text[WIRE_KEY_TEXT_MAX];
    print_hash(k->said, hash);
    must(buf_printf(out,
                    "# Keys of gossip as `serf keys` left them; the first one is in use. They\n"
                    "# count until the configured key files say something else.\n" HASH_WORD
                    "%s\n",
                    hash) == ERR_OK);
    for (unsigned i = 0; i < k->ring.count; i++)
        must(buf_printf(out, "%s\n", wire_key_print(&k->ring.keys[i], text)) == ERR_OK);
}

static bool parse_hash(struct span text, uint8_t out[32])
{
    uint64_t byte;
    if (text.len != 64)
        return false;
    for (size_t i = 0; i < 32; i++) {
        if (!span_hex_to_u64(span_of(text.ptr + 2 * i, 2), &byte))
            return false;
        out[i] = (uint8_t)byte;
    }
    return true;
}

enum err node_keys_parse(struct span text, struct node_keys *out)
{
    struct node_keys k = {.source = NODE_KEYS_KEPT};
    struct span line;
    bool hashed = false;
    if (!span_ends(text, SPAN("\n")))
        return ERR_SYNTAX; /* cut */
    while (span_split(&text, '\n', &line)) {
        line = conf_lines_trim(line);
        if (line.len == 0 || line.ptr[0] == '#')
            continue;
        if (!hashed && span_starts(line, SPAN(HASH_WORD)))
            hashed = parse_hash(span_from(line, sizeof HASH_WORD - 1), k.said);
        else if (!hashed || take_key(&k.ring, line))
            return ERR_SYNTAX;
    }
    if (!hashed || !k.ring.count)
        return ERR_SYNTAX;
    *out = k;
    return ERR_OK;
}

enum err node_keys_recall(int folder_fd, struct node_keys *k)
{
    struct node_keys kept;
    struct buf text;
    buf_init(&text, 0);
    enum err err = conf_lines_read_file(folder_fd, NODE_KEYS_KEPT, NODE_KEYS_FILE_MAX, &text);
    if (err == ERR_OK)
        err = node_keys_parse(buf_span(&text), &kept);
    else if (errno == ENOENT)
        err = ERR_NOT_FOUND;
    conf_lines_wipe(&text);
    if (err == ERR_OK && memcmp(kept.said, k->said, sizeof k->said) != 0)
        return ERR_REFUSED;
    if (err == ERR_OK)
        *k = kept;
    return err;
}

void node_keys_recall_from(const char *folder, struct node_keys *k)
{
    int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)!node_keys_recall(fd, k);
    close(fd);
}

static bool write_all(int fd, struct span text)
{
    while (text.len) {
        ssize_t put_bytes = write(fd, text.ptr, text.len);
        if (put_bytes < 0 && errno == EINTR)
            continue;
        if (put_bytes <= 0)
            return false;
        text = span_from(text, (size_t)put_bytes);
    }
    return true;
}

enum err node_keys_keep(int folder_fd, struct span text)
{
    (void)unlinkat(folder_fd, KEPT_NEW, 0); /* of a crash, perhaps with other rights */
    int fd = openat(folder_fd, KEPT_NEW, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return ERR_SYS;
    bool good = write_all(fd, text) && fsync(fd) == 0;
    good = close(fd) == 0 && good;
    good = good && renameat(folder_fd, KEPT_NEW, folder_fd, NODE_KEYS_KEPT) == 0 &&
           fsync(folder_fd) == 0;
    return good ? ERR_OK : ERR_SYS;
}
