/* cluster/tags.h - what a node tells about itself, as Serf tags within 512 bytes.
 *
 * Tags: id, region, place ("50.11,8.68"), addr ("203.0.113.10,2001:db8::10"), peer
 * ("203.0.113.10:7947"), cap, ver, drain ("1"). What is empty or the default is not told. When
 * all is too long, the least needed goes first: ver, then all addresses but the first from the
 * last on, cap, place, region; id, peer, drain and one address always fit.
 *
 * Reading is tolerant: a stock Serf agent has none of these tags; a value that cannot be read
 * is as if it was not told, and other tags are skipped.
 *
 * Units:  place in degrees; capacity a weight relative to other nodes.
 * Thread: any. Owns nothing: spans are borrowed from the meta that was read.
 * Limits: CLUSTER_TAGS_*; WIRE_META_MAX bytes encoded.
 */
#pragma once

#include "base/addr.h"

#define CLUSTER_TAGS_ADDRESSES 8
#define CLUSTER_TAGS_ID_MAX 128
#define CLUSTER_TAGS_REGION_MAX 64
#define CLUSTER_TAGS_VERSION_MAX 32
#define CLUSTER_TAGS_BYTES_MAX 512

struct cluster_tags {
    struct span id;      /* empty: no Perigee node */
    struct span region;  /* empty: none */
    struct span version; /* of the program */
    bool has_place;
    double latitude, longitude;
    struct addr addresses[CLUSTER_TAGS_ADDRESSES]; /* what DNS answers with; no ports */
    uint32_t address_count;
    struct addr peer; /* where other nodes talk HTTP/2; ADDR_NONE: nowhere */
    double capacity;  /* 0 < capacity <= 1e6; 1 when not told */
    bool drain;
};

/* Room: CLUSTER_TAGS_BYTES_MAX. Texts over their limit are cut. */
struct span cluster_tags_put(const struct cluster_tags *t, char room[CLUSTER_TAGS_BYTES_MAX]);
void cluster_tags_get(struct span meta, struct cluster_tags *out);
/* The value of any tag, also of one that is not ours. */
bool cluster_tags_find(struct span meta, struct span name, struct span *out_value);
