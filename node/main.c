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
#include "base/crypto.h"
#include "node/ask_node_ev.h"
#include "node/keys.h"
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
          "  perigee cluster keygen\n"
          "      a new secret or gossip key for a cluster, 32 random bytes in base64\n"
          "  perigee cluster gossip-key -c FILE\n"
          "      the key of gossip that FILE gives, for serf agent -encrypt\n"
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
        struct node_keys keys;
        struct io_secrets *secrets;
        (void)!node_keys_secrets(&conf->cluster, &secrets, &faults);
        (void)!node_keys_read(&conf->cluster, secrets, &keys, &faults);
        admin_auth_destroy(admin_auth_create(conf, &faults)); /* the tokens' files */
        node_names_check(conf, &faults);
        if (geteuid() == 0) /* others may check what only root can start */
            (void)!node_rights_find(conf->node.user, &rights, &faults);
        setup = setup_create(conf, secrets, NULL, (int64_t)time(NULL), &faults);
        io_secrets_drop(secrets);
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

/* 32 random bytes: a cluster's secret, or a key of gossip. */
static int print_key(const struct wire_key *key)
{
    char text[WIRE_KEY_TEXT_MAX];
    puts(wire_key_print(key, text));
    return fflush(stdout) == 0 ? DONE : REFUSED;
}

static int run_keygen(void)
{
    struct wire_key key = {.len = WIRE_KEY_BYTES_MAX};
    crypto_random(key.bytes, sizeof key.bytes);
    return print_key(&key);
}

/* The key that this node seals gossip with: of its files, or as `serf keys` left it. */
static int run_gossip_key(const char *file)
{
    struct conf_faults faults = {0};
    struct node_keys keys = {.source = "none"};
    struct conf *conf = conf_load(file, &faults);
    struct io_secrets *secrets = NULL;
    bool good = conf && node_keys_secrets(&conf->cluster, &secrets, &faults) == ERR_OK &&
                node_keys_read(&conf->cluster, secrets, &keys, &faults) == ERR_OK;
    io_secrets_drop(secrets);
    conf_faults_print(&faults, file, stderr);
    conf_faults_fini(&faults);
    if (good && keys.ring.count)
        node_keys_recall_from(conf->node.data_dir, &keys);
    conf_destroy(conf);
    if (!good)
        return USAGE;
    if (keys.ring.count)
        return print_key(&keys.ring.keys[0]);
    fputs("perigee: gossip is in the clear here: no secret_file, no gossip_key_file\n", stderr);
    return REFUSED;
}

static int run_cluster(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "keygen") == 0)
        return run_keygen();
    if (argc == 4 && strcmp(argv[1], "gossip-key") == 0 &&
        (strcmp(argv[2], "-c") == 0 || strcmp(argv[2], "--config") == 0))
        return run_gossip_key(argv[3]);
    return misused("cluster keygen, or cluster gossip-key -c FILE");
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
    } commands[] = {
        {"serve", run_serve},     {"check", run_check},     {"config", run_config},
        {"cluster", run_cluster}, {"version", run_version}, {"--version", run_version},
        {"help", run_help},       {"--help", run_help},     {"-h", run_help}};
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
