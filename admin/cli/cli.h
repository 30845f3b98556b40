/* admin/cli/cli.h - sub-commands; asks a node through a function that main gives.
 *
 * purge, cache get, cache stat, nodes, status, reload: each builds one request for the admin
 * API and prints the answer for people, or as it came with --json. Options of all: --admin URL
 * (or PERIGEE_ADMIN; default http://127.0.0.1:9443), --token-file F (or PERIGEE_TOKEN_FILE),
 * --ca FILE, --insecure (no verification of the node's certificate), --json.
 *
 * Exit codes: 0 done, 1 refused or not reachable, 2 usage.
 * Thread: the process's only one.
 */
#pragma once

#include <stdio.h>

#include "base/buf.h"

struct cli_question {
    struct span admin_url; /* http[s]://host[:port] */
    struct span token;     /* empty: none */
    const char *ca;        /* NULL: the system's store */
    bool insecure;
    const char *method;
    struct span target;
    struct span body; /* empty: none; JSON */
    uint32_t timeout_ms;
};
struct cli_reply {
    unsigned status;
    struct buf body;
    char fault[256]; /* why there is no answer, for people */
};
/* ERR_OK with a reply of any status; else `fault` says why there was none. */
typedef enum err cli_ask(void *user, const struct cli_question *q, struct cli_reply *out);

bool cli_knows(const char *command);
void cli_usage(FILE *out); /* two-column lines, as main prints its own */
/* argv[0] is the sub-command. Answers go to `out`, complaints to `err`. */
int cli_run_to(int argc, char **argv, cli_ask *ask, void *user, FILE *out, FILE *err);
int cli_run(int argc, char **argv, cli_ask *ask, void *user); /* stdout and stderr */
