/* node/front/pool.h - the exchanges of a loop, kept for reuse.
 *
 * An exchange comes back when its last letter has come; front_exchange_open takes from here.
 *
 * Thread: its loop's. Limits: 256 idle ones, each with the first block of its arena.
 */
#pragma once

#include "node/front/exchange.h"

void front_exchange_give_back(struct front_exchange *x);
