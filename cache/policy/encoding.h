/* cache/policy/encoding.h - which encoding does the client get, and what does it say then?
 *
 * RFC 9110 12.5.3 (Accept-Encoding), 8.4 (Content-Encoding), 8.8.3 (entity tags), RFC 9111
 * 5.2.2.6 (no-transform), RFC 9530 (digests). A *form* is one encoding of a stored body: as
 * received, or made here. A made one is another representation of the same content: it has a
 * weak entity tag of its own, made of the stored one and a suffix, no ranges and no digests.
 *
 * Thread: any. Owns: nothing; new fields and texts lie in the arena.
 * Errors: false = the arena is full.
 */
#pragma once

#include "base/http/message.h"
#include "conf/conf.h"

enum policy_encoding { /* the values are stored (cache/store/record.h) */
                       POLICY_IDENTITY,
                       POLICY_GZIP,
                       POLICY_ZSTD,
                       POLICY_BROTLI,
                       POLICY_ENCODING_OTHER, /* unknown, or several on top of each other */
                       POLICY_ENCODINGS = POLICY_ENCODING_OTHER, /* how many are known */
};
#define POLICY_BIT(encoding) ((uint8_t)(1u << (encoding)))
#define POLICY_MAKEABLE (POLICY_BIT(POLICY_GZIP) | POLICY_BIT(POLICY_ZSTD))

struct span policy_encoding_text(enum policy_encoding e); /* "gzip"; "identity" */

/* --- what the client takes --- */

/* In thousandths. Identity of which nothing is said weighs 0 and is taken. "*" stands for every
 * coding that is not named; a malformed member counts as absent; of duplicates the least
 * counts; no field, or an empty one: identity alone. "x-gzip" is gzip. */
#define POLICY_REFUSED (-1)
struct policy_accept {
    int16_t weight[POLICY_ENCODINGS]; /* POLICY_REFUSED, or 0..1000 */
};
void policy_encoding_accept(const struct http_fields *request, struct policy_accept *out);
/* The same, remembering the last text: browsers of a kind all send one. Zeroed; one thread's.
 * Returns what the client would get if every form were there; POLICY_IDENTITY also where that
 * was not looked at. */
#define POLICY_ACCEPT_TEXT 64
struct policy_accept_memo {
    char text[POLICY_ACCEPT_TEXT];
    size_t len; /* 0: nothing is remembered */
    struct policy_accept accept;
    enum policy_encoding top;
};
enum policy_encoding policy_encoding_accept_again(struct policy_accept_memo *memo,
                                                  const struct http_fields *request,
                                                  struct policy_accept *out);

/* --- what is stored --- */

/* By Content-Encoding: absent or "identity" (also repeated): POLICY_IDENTITY. */
enum policy_encoding policy_encoding_of(const struct http_fields *response);
/* May its bytes be encoded or decoded at all? Not with no-transform, Content-Range, a status
 * without body, 206, or a coding that we cannot take apart (br, others). */
bool policy_encoding_may_change(unsigned status, const struct http_fields *response);
/* Is it worth encoding: the type is one of `types` (a star in one stands for any text;
 * parameters and case do not count; text/event-stream never), and the length within
 * min..max (HTTP_LENGTH_UNKNOWN: perhaps)? A response that has an encoding already is judged by
 * its type alone. */
bool policy_encoding_is_worth(const struct conf_variants *conf,
                              const struct http_fields *response, int64_t body_bytes);
/* Names Accept-Encoding in Vary, once, beside what is named already; nothing after a "*". */
bool policy_encoding_vary(struct http_fields *response, struct arena *a);
bool policy_encoding_varies(const struct http_fields *response); /* does Vary name it? */

/* --- the choice --- */

struct policy_forms {
    enum policy_encoding base; /* as received */
    uint8_t made;              /* bits: whole forms that are there beside it */
    uint8_t quick;             /* bits: can be encoded while it is sent, at a low level */
    uint8_t later; /* bits: can be made for those who come later; IDENTITY: decoded */
    bool decodes;  /* `base` can be decoded while it is sent */
};
enum policy_form_how {
    POLICY_FORM_BASE,   /* as received */
    POLICY_FORM_MADE,   /* the whole form that is there */
    POLICY_FORM_ENCODE, /* while it is sent */
    POLICY_FORM_DECODE, /* likewise */
};
struct policy_form {
    enum policy_form_how how;
    enum policy_encoding encoding; /* that the client gets */
    uint8_t wanted;                /* bit of the form that would have been better, or 0 */
    bool refused; /* the client takes nothing that can be had: identity (or what there is) all
                   * the same */
};
/* The highest weight; of equal ones zstd, br, gzip, identity in this order. What would have to
 * be encoded or decoded now loses against a whole form of equal weight and no client that takes
 * `base` gets it decoded unless it weighs identity higher. `whole` (a Range request, a client
 * that asks for parts): identity, from wherever. */
void policy_encoding_pick(const struct policy_accept *accept, const struct policy_forms *forms,
                          bool whole, struct policy_form *out);

/* --- what a made form says --- */

/* The fields of `base` (received as `from`) turned into those of the form in `to`:
 * Content-Encoding as it is then; ETag weak with the suffix; Accept-Ranges, Content-MD5,
 * Digest, Content-Digest and Repr-Digest dropped; all else as it is. *out starts empty; values
 * are borrowed. */
bool policy_encoding_fields(const struct http_fields *base, enum policy_encoding to,
                            struct arena *a, struct http_fields *out);
/* W/"x-zstd" of "x" or W/"x"; also -gzip, -identity. *out empty: `base` is not an entity tag.
 */
bool policy_encoding_etag(struct span base, enum policy_encoding to, struct arena *a,
                          struct span *out);
/* Is `tag` a made form's, of the stored tag `base`? Which one's? */
bool policy_encoding_etag_is_of(struct span tag, struct span base, enum policy_encoding *out);

/* --- towards the origin --- */

/* The fetch of an object that all will share: Accept-Encoding is ours, `conf->fetch` in fixed
 * order, or "identity"; conf NULL: "identity". br, which we cannot take apart, only when this
 * client takes it. */
bool policy_encoding_ask(struct http_fields *request, const struct conf_variants *conf,
                         struct arena *a);
/* If-None-Match of a request that goes to the origin as it is: each tag with a suffix of ours
 * is joined by the one it was made of, W/"x-zstd" by W/"x" (an origin may have such tags
 * itself). */
bool policy_encoding_map_back(struct http_fields *request, struct arena *a);
/* The 304 that came of it: its ETag, when it is what one of the client's tags was made of and
 * not in the client's own list, becomes the client's tag again. */
bool policy_encoding_map_forth(const struct http_fields *request, struct http_fields *response,
                               struct arena *a);
