/* node/origin/resume.h - the rest of a body whose sender went in the middle of it.
 *
 * RFC 9110 15.3.7.3: parts may be joined when both bear the same strong validator: an entity
 * tag that is not weak, or, where there is no tag at all, a Last-Modified that lies a minute
 * before its Date (8.8.2.2). The rest is asked for with Range and If-Range (13.1.5); who sends
 * the whole again with the same validator is as good: what is known of it is skipped.
 *
 * Units: octets of the body as it was sent. Thread: one owner.
 * Owns: nothing; the validator lies in the arena given. Errors: none.
 */
#pragma once

#include "base/http/message.h"

#define ORIGIN_RESUME_CLOCKS_S 60

struct origin_resume {
    struct span validator; /* empty: cannot be resumed */
    struct span encoding;  /* Content-Encoding */
    bool by_date;
    uint64_t got, skip; /* handed on; of the answer in hand, known already */
    int64_t total;      /* as the first head said it */
};

/* Of a head whose body follows; only that of a 200 of known length can be resumed. */
void origin_resume_begin(struct origin_resume *s, const struct http_response *r, int64_t now_s,
                         struct arena *a);
bool origin_resume_may(const struct origin_resume *s);
/* Have all octets come? Then an end that is none does not matter. */
bool origin_resume_is_over(const struct origin_resume *s);
/* Of the answer in hand: so many more octets, and not more than there are? */
bool origin_resume_holds(const struct origin_resume *s, size_t bytes);
/* What of these octets, the next of the answer, is new. */
struct span origin_resume_take(struct origin_resume *s, struct span bytes);
/* Makes of a request for the whole one for the rest. False: the arena is full. */
bool origin_resume_ask(const struct origin_resume *s, struct http_fields *f, struct arena *a);
/* Is this the rest, or the same whole again? */
bool origin_resume_fits(struct origin_resume *s, const struct http_response *r);
