/* node/front/exchange_log.h - one exchange as a line of the access log.
 *
 * Thread: its loop's.
 */
#pragma once

#include "node/front/exchange.h"

void front_exchange_log(const struct front_exchange *x, bool whole);
