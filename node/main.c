/* node/main.c - arguments; build, run, exit; the one request of a sub-command. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "admin/auth.h"
#include "admin/cli/cli.h"
#include "base/log.h"
#include "conf/load.h"
#include "conf/schema.h"
#include "node/ask_node_ev.h"
#include "node/names_ev.h"
#include "node/rights.h"
#include "node/serve.h"
#include "node/setup/setup.h"

enum { DONE, REFUSED, USAGE };

static void print_usage(FILE *out)
{
    fputs("perigee " PERIGEE_VERSION " - a CDN edge node\n\n"
          "  perigee serve -c FILE\n"
          "      run a node; SIGHUP reloads FILE, SIGTERM drains and stops\n"
          "  perigee check FILE\n"
          "      every fault of a configuration, as file:line:col: message\n"
          "  perigee config reference\n"
          "      every key with its type, unit, default and help, as Markdown\n"
          "  perigee version | help\n\n"
          "Asking a node that runs (exit code 0 done, 1 refused or not reachable, 2 usage):\n",
          out);
    cli_usage(out);
}

static int misused(const char *text)
{
    fprintf(stderr, "perigee: %s; see perigee help\n", text);
    return USAGE;
}

static int run_serve(int argc, char **argv)
{
    if (argc == 3 && (strcmp(argv[1], "-c") == 0 || strcmp(argv[1], "--config") == 0))
        return node_serve(argv[2]);
    return misused("serve -c FILE");
}

/* The same as a start does, but that nothing is bound, and names are looked up. */
static int run_check(int argc, char **argv)
{
    struct conf_faults faults = {0};
    struct setup *setup = NULL;
    struct node_rights rights;
    if (argc != 2)
        return misused("check FILE");
    log_set_level(LOG_ERROR); /* names are told as warnings of the file */
    struct conf *conf = conf_load(argv[1], &faults);
    if (conf) {
        admin_auth_destroy(admin_auth_create(conf, &faults)); /* the tokens' files */
        node_names_check(conf, &faults);
        if (geteuid() == 0) /* others may check what only root can start */
            (void)!node_rights_find(conf->node.user, &rights, &faults);
        setup = setup_create(conf, NULL, (int64_t)time(NULL), &faults);
    }
    conf_faults_sort(&faults);
    conf_faults_print(&faults, argv[1], stderr);
    bool good = faults.errors == 0;
    if (good)
        printf("%s: ok\n", argv[1]);
    setup_drop(setup);
    conf_faults_fini(&faults);
    return good ? DONE : USAGE;
}

static int run_config(int argc, char **argv)
{
    if (argc != 2 || strcmp(argv[1], "reference") != 0)
        return misused("config reference");
    conf_reference_print(stdout);
    return fflush(stdout) == 0 ? DONE : REFUSED;
}

static int run_version(int argc, char **argv)
{
    (void)argv;
    if (argc != 1)
        return misused("version takes nothing more");
    puts("perigee " PERIGEE_VERSION);
    return DONE;
}

static int run_help(int argc, char **argv)
{
    (void)argc, (void)argv;
    print_usage(stdout);
    return DONE;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {{"serve", run_serve},       {"check", run_check},
                    {"config", run_config},     {"version", run_version},
                    {"--version", run_version}, {"help", run_help},
                    {"--help", run_help},       {"-h", run_help}};
    (void)signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        print_usage(stderr);
        return USAGE;
    }
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    log_set_level(LOG_ERROR);
    if (cli_knows(argv[1]))
        return cli_run(argc - 1, argv + 1, node_ask, NULL);
    fprintf(stderr, "perigee: there is no \"%s\"\n\n", argv[1]);
    print_usage(stderr);
    return USAGE;
}
