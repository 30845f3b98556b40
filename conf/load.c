#include "conf/load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "conf/check.h"
#include "conf/derive.h"
#include "conf/read.h"

#define FILE_MAX_BYTES (UINT32_C(1) << 20)
#define MEMORY_MAX_BYTES (UINT32_C(64) << 20) /* of the values and of struct conf's lists */

static const struct conf_place nowhere = {0, 0};

static struct conf_place place_in(const struct conf_value *root, const char *section,
                                  const char *setting)
{
    return conf_parse_has(root, "%s", section) ? conf_parse_place(root, "%s", setting)
                                               : nowhere;
}

static void read_places(const struct conf_value *root, struct conf_fixed_places *out)
{
    *out = (struct conf_fixed_places){
        .id = place_in(root, "node", "node.id"),
        .workers = place_in(root, "node", "node.workers"),
        .user = place_in(root, "node", "node.user"),
        .data_dir = place_in(root, "node", "node.data_dir"),
        .memory = place_in(root, "cache", "cache.memory"),
        .disk_size = place_in(root, "cache", "cache.disk.size"),
        .object_max = place_in(root, "cache", "cache.disk.object_max"),
        .max_objects = place_in(root, "cache", "cache.disk.max_objects"),
        .verify = place_in(root, "cache", "cache.disk.verify"),
        .path = place_in(root, "cache", "cache.disk.path"),
        .admin = place_in(root, "admin", "admin.listen"),
        .cluster = place_in(root, "cluster", "cluster"),
        .cluster_listen = place_in(root, "cluster", "cluster.listen"),
        .cluster_advertise = place_in(root, "cluster", "cluster.advertise"),
        .cluster_purge_max = place_in(root, "cluster", "cluster.purge_log"),
        .cluster_profile = place_in(root, "cluster", "cluster.profile"),
        .cluster_secret = place_in(root, "cluster", "cluster.secret_file"),
        .cluster_gossip_key = place_in(root, "cluster", "cluster.gossip_key_file"),
    };
}

struct conf *conf_load_text(struct span text, const char *name, struct conf_faults *faults)
{
    if (text.len > FILE_MAX_BYTES) {
        conf_fault_add(faults, nowhere, "the file is larger than 1 MiB");
        return NULL;
    }
    uint32_t before = faults->errors;
    struct conf *c = must_alloc(sizeof *c);
    struct span file = {0};
    arena_init(&c->arena, MEMORY_MAX_BYTES);
    must(arena_printf(&c->arena, &file, "%s", name));
    c->file = file.ptr;
    const struct conf_value *root = conf_parse(&c->arena, text, faults);
    if (root) {
        conf_read(&conf_schema, root, &c->arena, faults, c);
        read_places(root, &c->places);
        c->cluster.join_place = place_in(root, "cluster", "cluster.join");
        c->cluster.listen_place = c->places.cluster_listen;
        c->cluster.secret_place = c->places.cluster_secret;
        c->cluster.gossip_key_place = c->places.cluster_gossip_key;
        if (conf_derive(c))
            conf_check(c, root, faults);
        else
            conf_fault_add(faults, nowhere, "the file takes too much memory");
    }
    conf_faults_sort(faults);
    if (faults->errors == before)
        return c;
    conf_destroy(c);
    return NULL;
}

/* False: told. One byte over the limit is read, so that conf_load_text sees it. */
static bool read_file(const char *path, struct buf *text, struct conf_faults *faults)
{
    FILE *file = fopen(path, "re");
    bool good = file != NULL;
    while (good && buf_len(text) <= FILE_MAX_BYTES) {
        char *room = buf_reserve(text, 1 << 16);
        must(room);
        size_t got = fread(room, 1, 1 << 16, file);
        buf_grew(text, got);
        if (got == 0)
            break;
    }
    good = good && !ferror(file);
    if (!good)
        conf_fault_add(faults, nowhere, "cannot be read: %s", strerror(errno));
    if (file)
        fclose(file);
    return good;
}

struct conf *conf_load(const char *path, struct conf_faults *faults)
{
    struct buf text;
    struct conf *c = NULL;
    buf_init(&text, 0);
    if (read_file(path, &text, faults))
        c = conf_load_text(buf_span(&text), path, faults);
    buf_fini(&text);
    return c;
}
