#include "admin/cli/cli.h"

#include <stdarg.h>
#include <stdlib.h>

#include "admin/cli/print.h"

#define SELECTORS_MAX 256
#define TOKEN_MAX 512
#define TIMEOUT_MS 10000
#define TIMEOUT_QUIET_MS 3000
#define TIMEOUT_PURGE_MS 75000 /* the longest wait that a node takes, and some */

#define COMMON_USAGE                                                                           \
    "      all of these: [--admin URL] [--token-file F] [--ca FILE] [--insecure] [--json]\n"

enum { DONE, REFUSED, USAGE };

struct options {
    FILE *out, *err;
    const char *admin, *token_file, *ca;
    bool insecure, json, quiet;
    /* purge */
    const char *type; /* NULL: none yet */
    const char *selectors[SELECTORS_MAX];
    unsigned selector_count;
    const char *wait, *site;
    bool soft, dry_run;
    /* what is neither option nor selector */
    const char *words[2];
    unsigned word_count;
};

struct command {
    const char *name, *usage, *help;
    int (*run)(const struct options *o, cli_ask *ask, void *user);
    bool purges; /* has the options and selectors of purge */
};

static int complain(const struct options *o, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

static int complain(const struct options *o, int code, const char *fmt, ...)
{
    va_list args;
    fputs("perigee: ", o->err);
    va_start(args, fmt);
    vfprintf(o->err, fmt, args);
    va_end(args);
    fputc('\n', o->err);
    return code;
}

static bool read_token(const struct options *o, char out[TOKEN_MAX + 3], struct span *out_token)
{
    *out_token = (struct span){0};
    if (!o->token_file)
        return true;
    FILE *file = fopen(o->token_file, "re");
    if (!file)
        return false;
    size_t len = fread(out, 1, TOKEN_MAX + 3, file);
    bool ok = !ferror(file);
    fclose(file);
    while (len && (out[len - 1] == '\n' || out[len - 1] == '\r'))
        len--;
    *out_token = span_of(out, len);
    return ok && len > 0 && len <= TOKEN_MAX;
}

typedef void printer(const struct admin_json *v, FILE *out);

/* Prints an answer; its exit code. */
static int show(const struct options *o, struct cli_reply *reply, printer *print)
{
    char fault[200];
    struct span text = {0};
    bool good = reply->status >= 200 && reply->status <= 299;
    if (o->json) {
        fprintf(o->out, "%.*s", SPAN_ARG(buf_span(&reply->body)));
        return good ? DONE : REFUSED;
    }
    struct admin_json *v = admin_json_parse(buf_span(&reply->body), fault, sizeof fault);
    if (!v)
        return complain(o, REFUSED, "status %u, and no JSON: %s", reply->status, fault);
    bool told = admin_json_text(admin_json_member(v, "error"), &text);
    if (good || !told)
        print(v, good ? o->out : o->err);
    if (told) {
        fprintf(o->err, "perigee: status %u: ", reply->status);
        cli_print_text(text, o->err);
        fputc('\n', o->err);
    }
    admin_json_free(v);
    return good ? DONE : REFUSED;
}

static int ask_node(const struct options *o, const char *method, struct span target,
                    struct span body, uint32_t timeout_ms, printer *print, cli_ask *ask,
                    void *user)
{
    char token[TOKEN_MAX + 3];
    struct cli_question q = {.admin_url = span_text(o->admin),
                             .ca = o->ca,
                             .insecure = o->insecure,
                             .method = method,
                             .target = target,
                             .body = body,
                             .timeout_ms = timeout_ms};
    struct cli_reply reply = {.status = 0};
    int code;
    while (span_ends(q.admin_url, SPAN("/")))
        q.admin_url.len--;
    if (!span_starts_nocase(q.admin_url, SPAN("http://")) &&
        !span_starts_nocase(q.admin_url, SPAN("https://")))
        return complain(o, USAGE, "--admin is a URL: http[s]://host[:port]");
    if (!read_token(o, token, &q.token))
        return complain(o, REFUSED, "%s: no token can be read", o->token_file);
    buf_init(&reply.body, 0);
    if (ask(user, &q, &reply) != ERR_OK)
        code = complain(o, REFUSED, "%s: %s", o->admin, reply.fault);
    else if (print)
        code = show(o, &reply, print);
    else
        code = reply.status >= 200 && reply.status <= 299 ? DONE : REFUSED;
    buf_fini(&reply.body);
    return code;
}

/* Another text would name something else. */
static bool all_are_text(const struct options *o)
{
    for (unsigned i = 0; i < o->selector_count; i++)
        if (!admin_json_carries(span_text(o->selectors[i])))
            return false;
    return !o->site || admin_json_carries(span_text(o->site));
}

static int run_purge(const struct options *o, cli_ask *ask, void *user)
{
    struct buf body;
    if (!all_are_text(o))
        return complain(o, USAGE,
                        "purge: that is no UTF-8, which is all that the API can carry; "
                        "PURGE with a Surrogate-Key field takes any octets");
    if (!o->type)
        return complain(o, USAGE,
                        "purge: what? --url, --path, --tag, --prefix, --host or --all");
    bool all = strcmp(o->type, "all") == 0;
    if (all != !o->selector_count)
        return complain(o, USAGE,
                        all ? "purge: --all takes no selector" : "purge: no selector is given");
    buf_init(&body, 0);
    struct admin_writer w = {.out = &body};
    admin_json_open(&w, NULL, '{');
    admin_json_put_text(&w, "type", span_text(o->type));
    if (!all) {
        admin_json_open(&w, "selectors", '[');
        for (unsigned i = 0; i < o->selector_count; i++)
            admin_json_put_text(&w, NULL, span_text(o->selectors[i]));
        admin_json_close(&w, ']');
    }
    if (o->site)
        admin_json_put_text(&w, "site", span_text(o->site));
    if (o->soft)
        admin_json_put_text(&w, "mode", SPAN("soft"));
    if (o->dry_run)
        admin_json_put_boolean(&w, "dry_run", true);
    if (o->wait)
        admin_json_put_text(&w, "wait", span_text(o->wait));
    admin_json_close(&w, '}');
    int code = ask_node(o, "POST", SPAN("/v1/purge"), buf_span(&body), TIMEOUT_PURGE_MS,
                        cli_print_purge, ask, user);
    buf_fini(&body);
    return code;
}

static void append_escaped(struct buf *target, struct span text, const char *plain)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        char escape[3] = {'%', digits[c >> 4], digits[c & 15]};
        bool kept = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                    (c >= '0' && c <= '9') || (c && strchr(plain, c));
        must(buf_append(target, kept ? span_of(&text.ptr[i], 1) : span_of(escape, 3)) ==
             ERR_OK);
    }
}

static int run_cache_get(const struct options *o, cli_ask *ask, void *user)
{
    struct buf target;
    if (o->word_count != 2)
        return complain(o, USAGE, "cache get: which URL?");
    buf_init(&target, 0);
    must(buf_append(&target, SPAN("/v1/cache?url=")) == ERR_OK);
    append_escaped(&target, span_text(o->words[1]), "-._~:/");
    int code = ask_node(o, "GET", buf_span(&target), (struct span){0}, TIMEOUT_MS,
                        cli_print_cache, ask, user);
    buf_fini(&target);
    return code;
}

static int run_cache(const struct options *o, cli_ask *ask, void *user)
{
    const char *word = o->word_count ? o->words[0] : "";
    if (strcmp(word, "get") == 0)
        return run_cache_get(o, ask, user);
    if (strcmp(word, "stat") != 0 || o->word_count != 1)
        return complain(o, USAGE, "cache: get URL, or stat");
    return ask_node(o, "GET", SPAN("/v1/status"), (struct span){0}, TIMEOUT_MS, cli_print_stat,
                    ask, user);
}

static int run_status(const struct options *o, cli_ask *ask, void *user)
{
    if (o->quiet)
        return ask_node(o, "GET", SPAN("/v1/health"), (struct span){0}, TIMEOUT_QUIET_MS, NULL,
                        ask, user);
    return ask_node(o, "GET", SPAN("/v1/status"), (struct span){0}, TIMEOUT_MS,
                    cli_print_status, ask, user);
}

static int run_nodes(const struct options *o, cli_ask *ask, void *user)
{
    struct buf target;
    if (!o->word_count)
        return ask_node(o, "GET", SPAN("/v1/nodes"), (struct span){0}, TIMEOUT_MS,
                        cli_print_nodes, ask, user);
    if (o->word_count != 2 || strcmp(o->words[0], "forget") != 0 || !*o->words[1])
        return complain(o, USAGE, "nodes: nothing more, or forget ID");
    buf_init(&target, 0);
    must(buf_append(&target, SPAN("/v1/nodes/")) == ERR_OK);
    append_escaped(&target, span_text(o->words[1]), "-._~");
    int code = ask_node(o, "DELETE", buf_span(&target), (struct span){0}, TIMEOUT_MS,
                        cli_print_forgotten, ask, user);
    buf_fini(&target);
    return code;
}

static int run_reload(const struct options *o, cli_ask *ask, void *user)
{
    return ask_node(o, "POST", SPAN("/v1/reload"), (struct span){0}, TIMEOUT_MS,
                    cli_print_reload, ask, user);
}

static const struct command commands[] = {
    {"purge",
     "purge --url U... | --path P... | --tag T... | --prefix P... | --host H... | --all",
     "make stored objects unusable now [--soft] [--site S] [--dry-run] [--wait 5s]", run_purge,
     true},
    {"cache", "cache get URL | cache stat", "what is stored for a URL; how full the cache is",
     run_cache, false},
    {"nodes", "nodes [forget ID]",
     "who is in the cluster; forget: a node that failed will not come back", run_nodes, false},
    {"status", "status [--quiet]", "how the node is; --quiet: by exit code only", run_status,
     false},
    {"reload", "reload", "load the configuration file again", run_reload, false},
};

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

bool cli_knows(const char *command)
{
    return find_command(command) != NULL;
}

static void print_command(const struct command *c, FILE *out)
{
    fprintf(out, "  perigee %s\n      %s\n", c->usage, c->help);
}

void cli_usage(FILE *out)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        print_command(&commands[i], out);
    fputs(COMMON_USAGE, out);
}

enum option { NOT_THIS, TAKEN, WRONG };

/* An option with a value, as "--name value" or "--name=value". */
static enum option take_value(const struct options *o, int argc, char **argv, int *at,
                              const char *name, const char **slot)
{
    const char *arg = argv[*at];
    size_t len = strlen(name);
    if (strncmp(arg, name, len) != 0 || (arg[len] && arg[len] != '='))
        return NOT_THIS;
    if (arg[len] == '=') {
        *slot = arg + len + 1;
        return TAKEN;
    }
    if (*at + 1 == argc) {
        (void)complain(o, USAGE, "%s needs a value", name);
        return WRONG;
    }
    *slot = argv[++*at];
    return TAKEN;
}

static enum option take_flag(const char *arg, const char *name, bool *slot)
{
    if (strcmp(arg, name) != 0)
        return NOT_THIS;
    *slot = true;
    return TAKEN;
}

static enum option add_selector(struct options *o, const char *type, const char *selector)
{
    if (o->type && strcmp(o->type, type) != 0) {
        (void)complain(o, USAGE, "purge: one kind at a time, not --%s and --%s", o->type, type);
        return WRONG;
    }
    o->type = type;
    if (!selector)
        return TAKEN;
    if (o->selector_count == SELECTORS_MAX) {
        (void)complain(o, USAGE, "purge: at most %d selectors at a time", SELECTORS_MAX);
        return WRONG;
    }
    o->selectors[o->selector_count++] = selector;
    return TAKEN;
}

static enum option take_purge_option(struct options *o, int argc, char **argv, int *at)
{
    static const char *const kinds[][2] = {{"--url", "url"},
                                           {"--path", "path"},
                                           {"--tag", "tag"},
                                           {"--prefix", "prefix"},
                                           {"--host", "host"}};
    const char *value;
    enum option taken;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        taken = take_value(o, argc, argv, at, kinds[i][0], &value);
        if (taken)
            return taken == TAKEN ? add_selector(o, kinds[i][1], value) : taken;
    }
    if (strcmp(argv[*at], "--all") == 0)
        return add_selector(o, "all", NULL);
    if ((taken = take_flag(argv[*at], "--soft", &o->soft)) != NOT_THIS ||
        (taken = take_flag(argv[*at], "--dry-run", &o->dry_run)) != NOT_THIS ||
        (taken = take_value(o, argc, argv, at, "--wait", &o->wait)) != NOT_THIS ||
        (taken = take_value(o, argc, argv, at, "--site", &o->site)) != NOT_THIS)
        return taken;
    return NOT_THIS;
}

static enum option take_option(struct options *o, const struct command *c, int argc,
                               char **argv, int *at)
{
    enum option taken;
    if ((taken = take_value(o, argc, argv, at, "--admin", &o->admin)) != NOT_THIS ||
        (taken = take_value(o, argc, argv, at, "--token-file", &o->token_file)) != NOT_THIS ||
        (taken = take_value(o, argc, argv, at, "--ca", &o->ca)) != NOT_THIS ||
        (taken = take_flag(argv[*at], "--insecure", &o->insecure)) != NOT_THIS ||
        (taken = take_flag(argv[*at], "--json", &o->json)) != NOT_THIS)
        return taken;
    if (c->purges)
        return take_purge_option(o, argc, argv, at);
    if (c->run == run_status)
        return take_flag(argv[*at], "--quiet", &o->quiet);
    return NOT_THIS;
}

/* A word: one more selector of the kind named last, or an argument. */
static enum option take_word(struct options *o, const struct command *c, const char *word)
{
    if (c->purges && o->type && strcmp(o->type, "all") != 0)
        return add_selector(o, o->type, word);
    if ((c->run == run_cache || c->run == run_nodes) && o->word_count < ARRAY_LEN(o->words)) {
        o->words[o->word_count++] = word;
        return TAKEN;
    }
    return NOT_THIS;
}

static int explain(const struct options *o, const struct command *c)
{
    print_command(c, o->out);
    fputs(COMMON_USAGE, o->out);
    return DONE;
}

int cli_run_to(int argc, char **argv, cli_ask *ask, void *user, FILE *out, FILE *err)
{
    const char *admin = getenv("PERIGEE_ADMIN");
    struct options o = {.out = out,
                        .err = err,
                        .admin = admin && *admin ? admin : "http://127.0.0.1:9443",
                        .token_file = getenv("PERIGEE_TOKEN_FILE")};
    const struct command *c = argc > 0 ? find_command(argv[0]) : NULL;
    if (!c)
        return complain(&o, USAGE, "no such command");
    for (int at = 1; at < argc; at++) {
        const char *arg = argv[at];
        if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)
            return explain(&o, c);
        enum option taken = arg[0] == '-' && arg[1] ? take_option(&o, c, argc, argv, &at)
                                                    : take_word(&o, c, arg);
        if (taken == NOT_THIS)
            (void)complain(&o, USAGE, "%s: what is %s?\n  perigee %s", c->name, arg, c->usage);
        if (taken != TAKEN)
            return USAGE;
    }
    if (o.token_file && !*o.token_file)
        o.token_file = NULL;
    return c->run(&o, ask, user);
}

int cli_run(int argc, char **argv, cli_ask *ask, void *user)
{
    return cli_run_to(argc, argv, ask, user, stdout, stderr);
}
