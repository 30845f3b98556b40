/* base/http/claims.h - fields that only some may send, or only in a head.
 *
 * CGI, WSGI and their like hand fields to programs as HTTP_X_NAME: to them X_Name and X-Name
 * are one. Both functions read '_' in a name as '-', so that no spelling walks past them.
 *
 * Thread: any. Owns: nothing.
 */
#pragma once

#include "base/span.h"

/* Does a field of that name (in lower case) claim who asks, how, or what is really asked:
 * Forwarded, X-Forwarded-*, X-Real-IP, X-Original-URL, X-HTTP-Method-Override and their like?
 * Origins act upon such and no cache key holds them. */
bool http_name_is_claim(struct span lower_case_name);
/* Must a field of that name never come as a trailer (RFC 9110 6.5.1): framing, routing, request
 * modifiers, authentication, content format, and claims? */
bool http_name_is_head_only(struct span lower_case_name);
