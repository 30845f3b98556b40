/* admin/cli/print.h - a node's answers as text for people.
 *
 * Each takes the parsed body of one kind of answer. Members that are missing are left out, so
 * that an older node can be asked too. Texts from the node are cleaned of control octets: they
 * hold URLs and tags that strangers chose, and go to a terminal.
 */
#pragma once

#include <stdio.h>

#include "admin/json.h"

void cli_print_purge(const struct admin_json *v, FILE *out);
void cli_print_cache(const struct admin_json *v, FILE *out);
void cli_print_stat(const struct admin_json *v, FILE *out);
void cli_print_nodes(const struct admin_json *v, FILE *out);
void cli_print_forgotten(const struct admin_json *v, FILE *out);
void cli_print_status(const struct admin_json *v, FILE *out);
void cli_print_reload(const struct admin_json *v, FILE *out);
void cli_print_text(struct span text, FILE *out); /* cleaned */
