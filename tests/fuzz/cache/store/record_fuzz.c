/* tests/fuzz/cache/store/record_fuzz.c - bytes of a record, as a damaged disk may give them.
 *
 * Input: u16 length of the near bytes, those, then the far block. The checksums are made right
 * first, so that what lies behind them is reached. What decodes must encode to the same bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "cache/store/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FAR_TAIL 8 /* the far block's checksum ends the near bytes */

static void check(struct span near, struct span far)
{
    struct store_record r;
    uint64_t far_id = 0;
    size_t far_bytes, len;
    uint8_t bytes[STORE_RECORD_MAX];
    bool near_ok = store_record_decode_near(near, &r) == ERR_OK;
    (void)store_record_far(near, &far_id, &far_bytes);
    if (store_record_decode(near, far, &r) != ERR_OK)
        return;
    uint8_t *again = malloc(far.len + 1);
    if (!again || !near_ok)
        abort();
    if (store_record_encode(&r, far_id, bytes, &len, again, far.len) != ERR_OK ||
        len != near.len || memcmp(bytes, near.ptr, len) != 0 ||
        (far.len > 0 && memcmp(again, far.ptr, far.len) != 0))
        abort();
    free(again);
}

static void put_hash(uint8_t *at, struct span of)
{
    struct cursor c;
    cursor_write(&c, at, 8);
    cursor_put_u64(&c, hash_xxh3(of));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t near_len = (size_t)data[0] << 8 | data[1];
    if (near_len > size - 2)
        near_len = size - 2;
    size_t far_len = size - 2 - near_len;
    uint8_t *near = malloc(near_len + 1), *far = malloc(far_len + 1);
    if (!near || !far)
        abort();
    memcpy(near, data + 2, near_len);
    memcpy(far, data + 2 + near_len, far_len);
    struct span n = span_of(near, near_len), f = span_of(far, far_len);
    check(n, f);
    if (near_len >= 8) {
        put_hash(near, span_from(n, 8));
        check(n, f);
        if (near_len >= 8 + FAR_TAIL) {
            put_hash(near + near_len - FAR_TAIL, f);
            put_hash(near, span_from(n, 8));
            check(n, f);
        }
    }
    free(near);
    free(far);
    return 0;
}
