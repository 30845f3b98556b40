/* conf/shape.h - what the texts of a file must look like: names, hosts, patterns, URLs.
 *
 * Thread: any.
 * Errors: each function answers NULL, or why the text is refused as an English phrase that
 *         follows the quoted text ("... is longer than 64 bytes"); static.
 */
#pragma once

#include "conf/conf.h"

const char *conf_shape_any(struct span text);           /* not empty, no control octets */
const char *conf_shape_name(struct span text);          /* 1 to 64 of A-Z a-z 0-9 _ . - */
const char *conf_shape_host(struct span text);          /* a host name or address, no port */
const char *conf_shape_host_pattern(struct span text);  /* a host, "*.host" or "*" */
const char *conf_shape_path_pattern(struct span text);  /* "/..." with '*' only at the end */
const char *conf_shape_token(struct span text);         /* RFC 9110 5.6.2 */
const char *conf_shape_field_pattern(struct span text); /* a field name, '*' anywhere */
const char *conf_shape_type_pattern(struct span text);  /* "type/subtype", '*' anywhere */
const char *conf_shape_address(struct span text);       /* an IP address of its own */
const char *conf_shape_degrees(struct span text);       /* -180 to 180, a decimal number */
const char *conf_shape_seed(struct span text);          /* "host" or "host:port" */
const char *conf_shape_parameter(struct span text);     /* a query parameter, '*' anywhere */
/* A field that an origin's `add` may set, and its value. */
const char *conf_shape_added_name(struct span text);
const char *conf_shape_added_value(struct span text);

/* The parts of what conf_shape_seed and conf_shape_degrees accept. `host` is without brackets;
 * the port that nobody wrote is CONF_SHAPE_SEED_PORT. */
#define CONF_SHAPE_SEED_PORT 7946 /* serf's */
const char *conf_shape_split_seed(struct span text, struct span *host, uint16_t *port);
bool conf_shape_to_degrees(struct span text, double *out);

/* Read functions of the schema. */
const char *conf_shape_read_url(struct arena *arena, struct span text, void *server);
const char *conf_shape_read_origin_host(struct arena *arena, struct span text, void *origin);
