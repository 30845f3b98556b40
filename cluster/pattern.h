/* cluster/pattern.h - does a text match a regular expression, in bounded time?
 *
 * For the tag filters of queries, which strangers write. The common part of Go's syntax:
 * literals, . [a-z] [^a-z] ^ $ \d \w \s \D \W \S \b-free escapes, ( ) (?: ) | * + ? and
 * {m}, {m,}, {m,n}. It matches anywhere in the text unless ^ and $ say otherwise. Anything
 * else is ERR_SYNTAX.
 *
 * Thread: any. Owns nothing.
 * Limits: CLUSTER_PATTERN_BYTES, CLUSTER_PATTERN_DEPTH parentheses, CLUSTER_PATTERN_STEPS
 *         steps of matching, then it is ERR_LIMIT.
 */
#pragma once

#include "base/span.h"

#define CLUSTER_PATTERN_BYTES 256u
#define CLUSTER_PATTERN_DEPTH 8u
#define CLUSTER_PATTERN_STEPS 20000u

NODISCARD enum err cluster_pattern_match(struct span expression, struct span text,
                                         bool *out_match);
