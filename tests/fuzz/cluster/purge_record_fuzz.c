/* Bytes of a stored record, with the right checksum put behind them: what decodes must encode
 * to the same bytes. */
#include "cluster/purge_record.h"

#include "base/crypto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[CLUSTER_PURGE_BYTES_MAX], back[CLUSTER_PURGE_BYTES_MAX];
    struct cluster_purge_record r;
    uint8_t key[CLUSTER_PURGE_KEY];
    if (size > sizeof(bytes) - 4)
        return 0;
    memcpy(bytes, data, size);
    size_t key_len = cluster_purge_record_key(1, 2, 0, key);
    uint32_t crc = crypto_crc32c_add(crypto_crc32c(span_of(key, key_len)), span_of(data, size));
    for (int i = 0; i < 4; i++)
        bytes[size + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
    struct span whole = span_of(bytes, size + 4);
    must(cluster_purge_record_parts_of(whole) <= CLUSTER_PURGE_PARTS_MAX);
    if (cluster_purge_record_decode(1, 2, whole, &r) != ERR_OK)
        return 0;
    must(cluster_purge_record_encode(&r, back) == whole.len);
    must(memcmp(back, bytes, whole.len) == 0);
    return 0;
}
