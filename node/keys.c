#include "node/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/crypto.h"

#define SECRET_BYTES 32
#define KEPT_NEW NODE_KEYS_KEPT ".new"
#define HASH_WORD "from "

/* --- files of lines --- */

/* At most NODE_KEYS_FILE_MAX + 1 bytes. ERR_SYS with errno. */
static enum err read_all(int fd, struct buf *out)
{
    for (;;) {
        char *room = buf_reserve(out, NODE_KEYS_FILE_MAX + 1 - buf_len(out));
        must(room);
        ssize_t got = read(fd, room, NODE_KEYS_FILE_MAX + 1 - buf_len(out));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return ERR_SYS;
        buf_grew(out, (size_t)got);
        if (got == 0 || buf_len(out) > NODE_KEYS_FILE_MAX)
            return ERR_OK;
    }
}

static enum err read_file(int folder_fd, const char *path, struct buf *out)
{
    int fd = openat(folder_fd, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return ERR_SYS;
    enum err err = read_all(fd, out);
    int why = errno;
    close(fd);
    errno = why;
    return err;
}

static struct span trim_line(struct span line)
{
    line = span_trim(line);
    if (span_ends(line, SPAN("\r")))
        line.len--;
    return line;
}

/* Why the line is refused; NULL: its key is in the ring. */
typedef const char *take_line(struct span line, struct wire_keyring *ring);

static const char *put(struct wire_keyring *ring, const struct wire_key *key)
{
    return wire_keyring_install(ring, wire_key_span(key)) == ERR_OK ? NULL
                                                                    : "is one key too many";
}

static const char *take_secret(struct span line, struct wire_keyring *ring)
{
    uint8_t secret[SECRET_BYTES];
    struct wire_key key;
    size_t len;
    if (crypto_base64_decode(line, secret, sizeof secret, &len) != ERR_OK ||
        len != SECRET_BYTES)
        return "is no base64 of 32 bytes (perigee cluster keygen makes one)";
    enum err err = wire_keyring_derive(span_of(secret, len), &key);
    return err == ERR_OK ? put(ring, &key) : "cannot be used";
}

static const char *take_key(struct span line, struct wire_keyring *ring)
{
    struct wire_key key;
    if (wire_key_parse(line, &key) != ERR_OK)
        return "is no base64 of 16, 24 or 32 bytes";
    return put(ring, &key);
}

static enum err take_file(const char *setting, const char *path, struct conf_place place,
                          take_line *take, struct wire_keyring *ring,
                          struct conf_faults *faults)
{
    struct buf text;
    uint32_t before = faults->errors;
    unsigned number = 0, count = 0;
    buf_init(&text, 0);
    if (read_file(AT_FDCWD, path, &text) != ERR_OK)
        conf_fault_add(faults, place, "%s: %s: %s", setting, path, strerror(errno));
    else if (buf_len(&text) > NODE_KEYS_FILE_MAX)
        conf_fault_add(faults, place, "%s: %s is larger than %d bytes", setting, path,
                       NODE_KEYS_FILE_MAX);
    struct span line, rest = buf_span(&text);
    while (faults->errors == before && span_split(&rest, '\n', &line)) {
        line = trim_line(line);
        number++;
        if (line.len == 0)
            continue;
        const char *wrong = take(line, ring);
        if (wrong)
            conf_fault_add(faults, place, "%s: %s: line %u %s", setting, path, number, wrong);
        count++;
    }
    if (faults->errors == before && !count)
        conf_fault_add(faults, place, "%s: %s holds no key", setting, path);
    buf_fini(&text);
    return faults->errors == before ? ERR_OK : ERR_REFUSED;
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

enum err node_keys_read(const struct conf_cluster *c, struct node_keys *out,
                        struct conf_faults *faults)
{
    /* Both are read, so that both are checked. */
    struct node_keys derived = {.source = "secret_file"}, given = {.source = "gossip_key_file"};
    enum err err = ERR_OK, second = ERR_OK;
    if (*c->secret_file)
        err = take_file("secret_file", c->secret_file, c->secret_place, take_secret,
                        &derived.ring, faults);
    if (*c->gossip_key_file)
        second = take_file("gossip_key_file", c->gossip_key_file, c->gossip_key_place, take_key,
                           &given.ring, faults);
    if (err || second)
        return ERR_REFUSED;
    *out = *c->gossip_key_file ? given : derived;
    hash_ring(&out->ring, out->said);
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
        line = trim_line(line);
        if (line.len == 0 || line.ptr[0] == '#')
            continue;
        if (!hashed && span_starts(line, SPAN(HASH_WORD)))
            hashed = parse_hash(span_from(line, sizeof HASH_WORD - 1), k.said);
        else if (!hashed || take_key(line, &k.ring))
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
    enum err err = read_file(folder_fd, NODE_KEYS_KEPT, &text);
    if (err == ERR_OK)
        err = node_keys_parse(buf_span(&text), &kept);
    else if (errno == ENOENT)
        err = ERR_NOT_FOUND;
    buf_fini(&text);
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
