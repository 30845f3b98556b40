#include <stdlib.h>

#include "base/crypto.h"
#include "node/front/front.h"

#define VECTOR_BYTES_MAX 6144 /* what origin/fetch.c reads; one field's limit in base64 */

static void destroy(struct snapshot *s)
{
    free(CONTAINER_OF(s, struct front_vector, snapshot));
}

struct front_vector *front_vector_create(struct span bytes)
{
    size_t room = (bytes.len + 2) / 3 * 4 + 1;
    if (bytes.len > VECTOR_BYTES_MAX)
        return NULL;
    struct front_vector *v = must_alloc(sizeof(*v) + room);
    snapshot_init(&v->snapshot, destroy);
    must(crypto_base64_encode(bytes, v->base64, room, &v->len) == ERR_OK);
    return v;
}

void front_vector_drop(struct front_vector *v)
{
    if (v)
        snapshot_drop(&v->snapshot);
}
