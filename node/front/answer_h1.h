/* node/front/answer_h1.h - one exchange's answer as HTTP/1.1 octets, as far as they are there.
 *
 * Heads are written into the loop's scratch, bodies lent to the socket from the exchange's
 * memory, so that a small answer is one piece and costs no allocation. What comes before its
 * turn (interim answers) or is larger than the scratch waits in a queue.
 *
 *   none > known (head came from the exchange) > begun (head is written) > written > none
 *
 * Thread: its loop's.
 * Owns: the queue, which is empty but for those rare things; bytes lent by the exchange until
 *       the next settle.
 * Errors: ERR_CORRUPT, ...: the answer cannot go on: cut the connection.
 */
#pragma once

#include "base/buf.h"
#include "base/http/h1.h"
#include "node/front/exchange.h"

enum front_answer_h1_state {
    FRONT_ANSWER_NONE,
    FRONT_ANSWER_KNOWN,
    FRONT_ANSWER_BEGUN,
    FRONT_ANSWER_WRITTEN,
};
struct front_answer_h1 {
    enum front_answer_h1_state state;
    bool body; /* the exchange has one to give */
    const struct http_response *response;
    struct buf early;
    size_t early_given; /* of `early`, by the last output */
    size_t lent;        /* of the exchange's bytes, by the last output */
};

#define FRONT_ANSWER_H1_SPANS 3

void front_answer_h1_init(struct front_answer_h1 *a);
void front_answer_h1_fini(struct front_answer_h1 *a);
/* False: too late for one, or it cannot be written. */
bool front_answer_h1_interim(struct front_answer_h1 *a, struct http_h1 *core,
                             const struct http_response *r);
/* `r` lives as long as the exchange. */
void front_answer_h1_know(struct front_answer_h1 *a, const struct http_response *r, bool body);
/* What the last output gave was taken. True: and that was all of a whole answer. */
bool front_answer_h1_settle(struct front_answer_h1 *a, struct front_exchange *x);
/* At most FRONT_ANSWER_H1_SPANS spans of `room` octets together, borrowed until settle;
 * *out_count 0: nothing now. `close`: said in the head, if that is written now. */
NODISCARD enum err front_answer_h1_output(struct front_answer_h1 *a, struct http_h1 *core,
                                          struct front_exchange *x, bool close,
                                          struct span *out, char *scratch, size_t room,
                                          size_t *out_count);
