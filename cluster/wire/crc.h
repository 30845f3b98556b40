/* cluster/wire/crc.h - the checksum around gossip packets: CRC-32 as in zip and Ethernet.
 *
 * Against broken bytes, not against forged ones. Thread: any.
 */
#pragma once

#include "base/span.h"

uint32_t wire_crc32(struct span bytes);
