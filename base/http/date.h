/* base/http/date.h - HTTP dates both ways.
 *
 * RFC 9110 5.6.7: exactly the three forms, nothing looser; the case of month and day names
 * does not matter. A two-digit year more than 50 years ahead of `now_s` is in the past.
 * Units: *_s wall seconds since 1970. Thread: any.
 */
#pragma once

#include "base/span.h"

#define HTTP_DATE_BYTES 29 /* "Sun, 06 Nov 1994 08:49:37 GMT" */

NODISCARD enum err http_date_parse(struct span text, int64_t now_s, int64_t *out_at_s);
void http_date_print(int64_t at_s, char out[HTTP_DATE_BYTES]); /* no NUL */
/* The date of a day counted from 1970-01-01, for other ways to write it. */
void http_date_of_day(int64_t day_no, int *out_year, int *out_month, int *out_day);
