/* node/keys.h - the keys of gossip: as the configured files say, or as `serf keys` left them.
 *
 * The files are read before rights are dropped. A ring that the cluster changed is kept in
 * data_dir/gossip.keyring and wins over the files until what these say changes: the file kept
 * holds a hash of what they said.
 *
 * Thread: control, and node_keys_keep any (it blocks).
 * Limits: NODE_KEYS_FILE_MAX bytes a file, WIRE_KEYS_MAX keys.
 * Errors: faults with the setting's place; ERR_REFUSED, ERR_NOT_FOUND, ERR_SYNTAX, ERR_SYS.
 */
#pragma once

#include "base/buf.h"
#include "cluster/wire/keyring.h"
#include "conf/lines.h"
#include "node/io/secrets.h"

#define NODE_KEYS_FILE_MAX CONF_LINES_BYTES
#define NODE_KEYS_KEPT "gossip.keyring" /* in data_dir */

struct node_keys {
    struct wire_keyring ring; /* empty: gossip in the clear */
    uint8_t said[32];         /* a hash of the ring that the files give */
    const char *source;       /* what won: "secret_file", "gossip_key_file", NODE_KEYS_KEPT */
};

/* The cluster's secrets, owned; NULL: no secret_file. ERR_REFUSED: told. */
NODISCARD enum err node_keys_secrets(const struct conf_cluster *c, struct io_secrets **out,
                                     struct conf_faults *faults);
/* gossip_key_file's, else derived from the secrets (NULL: none). ERR_REFUSED: told. */
NODISCARD enum err node_keys_read(const struct conf_cluster *c,
                                  const struct io_secrets *secrets, struct node_keys *out,
                                  struct conf_faults *faults);
/* Takes the kept ring of this folder when it wins. ERR_NOT_FOUND: there is none; ERR_REFUSED:
 * the files have changed since; ERR_SYNTAX, ERR_SYS: it cannot be read. Others than ERR_OK
 * leave `k` alone. */
NODISCARD enum err node_keys_recall(int folder_fd, struct node_keys *k);
/* The same by the folder's name: nothing when it cannot be entered. */
void node_keys_recall_from(const char *folder, struct node_keys *k);
/* The kept file's text, and a ring from it; pure. */
void node_keys_print(const struct node_keys *k, struct buf *out);
NODISCARD enum err node_keys_parse(struct span text, struct node_keys *out);
/* Replaces the kept file, synced. */
NODISCARD enum err node_keys_keep(int folder_fd, struct span text);
