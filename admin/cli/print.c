#include "admin/cli/print.h"

#include <inttypes.h>

void cli_print_text(struct span text, FILE *out)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        fputc(c < 0x20 || c == 0x7f ? '?' : c, out);
    }
}

static struct span text_of(const struct admin_json *v, const char *key)
{
    struct span text = {0};
    (void)admin_json_text(admin_json_member(v, key), &text);
    return text;
}

static int64_t number_of(const struct admin_json *v, const char *key)
{
    int64_t number = 0;
    (void)admin_json_integer(admin_json_member(v, key), &number);
    return number;
}

static bool is_set(const struct admin_json *v, const char *key)
{
    bool set = false;
    (void)admin_json_boolean(admin_json_member(v, key), &set);
    return set;
}

static size_t count_of(const struct admin_json *list)
{
    size_t count = 0;
    (void)admin_json_list(list, &count);
    return count;
}

/* "label: a, b"; nothing for an empty list. */
static void print_list(const char *label, const struct admin_json *list, FILE *out)
{
    size_t count = count_of(list);
    for (size_t i = 0; i < count; i++) {
        struct span text = {0};
        (void)admin_json_text(admin_json_at(list, i), &text);
        fputs(i ? ", " : label, out);
        cli_print_text(text, out);
    }
    if (count)
        fputc('\n', out);
}

/* "12.3 MiB" */
static void print_bytes(int64_t bytes, FILE *out)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < ARRAY_LEN(units)) {
        value /= 1024;
        unit++;
    }
    fprintf(out, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

/* "3d 4h", "4h 5m", "5m 6s", "6s" */
static void print_duration(int64_t s, FILE *out)
{
    if (s < 0) {
        fputc('-', out);
        s = -s;
    }
    if (s >= 86400)
        fprintf(out, "%" PRId64 "d %" PRId64 "h", s / 86400, s % 86400 / 3600);
    else if (s >= 3600)
        fprintf(out, "%" PRId64 "h %" PRId64 "m", s / 3600, s % 3600 / 60);
    else if (s >= 60)
        fprintf(out, "%" PRId64 "m %" PRId64 "s", s / 60, s % 60);
    else
        fprintf(out, "%" PRId64 "s", s);
}

static const char *plural(int64_t count)
{
    return count == 1 ? "" : "s";
}

/* What 202 means, in words. */
static void print_what_is_left(const struct admin_json *nodes, FILE *out)
{
    size_t pending = count_of(admin_json_member(nodes, "pending"));
    size_t unreachable = count_of(admin_json_member(nodes, "unreachable"));
    size_t left = pending + unreachable;
    if (!left)
        return;
    fprintf(
        out,
        "not confirmed by %zu node%s yet: purged here and on its way; who has not confirmed\n"
        "applies it before serving again as fresh what it held\n",
        left, plural((int64_t)left));
    if (unreachable)
        fputs("who cannot be reached may serve what it has while it is cut off; if it will "
              "never\n"
              "come back: perigee nodes forget ID\n",
              out);
}

void cli_print_purge(const struct admin_json *v, FILE *out)
{
    int64_t selectors = number_of(v, "selectors");
    if (is_set(v, "dry_run")) {
        int64_t objects = number_of(v, "objects");
        fprintf(out, "would purge %" PRId64 " object%s\n", objects, plural(objects));
        return;
    }
    fprintf(out, "purged %" PRId64 " selector%s (", selectors, plural(selectors));
    cli_print_text(text_of(v, "mode"), out);
    fputs("), id ", out);
    cli_print_text(text_of(v, "id"), out);
    fputc('\n', out);
    const struct admin_json *nodes = admin_json_member(v, "nodes");
    if (!nodes)
        return;
    print_list("applied on:  ", admin_json_member(nodes, "applied"), out);
    print_list("pending on:  ", admin_json_member(nodes, "pending"), out);
    print_list("unreachable: ", admin_json_member(nodes, "unreachable"), out);
    print_what_is_left(nodes, out);
}

/* A key, "scheme|host:port|/path more", as the URL that it came from. */
static void print_key(struct span key, FILE *out)
{
    struct span rest = key, scheme, authority;
    size_t at;
    if (!span_split(&rest, '|', &scheme) || !span_split(&rest, '|', &authority) ||
        !span_starts(rest, SPAN("/"))) {
        cli_print_text(key, out);
        return;
    }
    struct span usual = span_equal(scheme, SPAN("https")) ? SPAN(":443") : SPAN(":80");
    if (span_ends(authority, usual))
        authority = span_until(authority, authority.len - usual.len);
    cli_print_text(scheme, out);
    fputs("://", out);
    cli_print_text(authority, out);
    bool has_more = span_find(rest, ' ', &at); /* cookies and fields */
    cli_print_text(has_more ? span_until(rest, at) : rest, out);
    if (!has_more)
        return;
    fputs("\n  with", out);
    cli_print_text(span_from(rest, at), out);
}

/* "  forms: identity 2.0 KiB, zstd 512 B (made, memory)"; nothing for an empty list. */
static void print_forms(const struct admin_json *forms, FILE *out)
{
    size_t count = count_of(forms);
    for (size_t i = 0; i < count; i++) {
        const struct admin_json *form = admin_json_at(forms, i);
        fputs(i ? ", " : "  forms: ", out);
        cli_print_text(text_of(form, "encoding"), out);
        if (admin_json_member(form, "bytes")) {
            fputc(' ', out);
            print_bytes(number_of(form, "bytes"), out);
        }
        if (is_set(form, "made")) { /* where the one received is was told above */
            fputs(" (made, ", out);
            cli_print_text(text_of(form, "tier"), out);
            fputc(')', out);
        }
    }
    if (count)
        fputc('\n', out);
}

static void print_variant(const struct admin_json *v, FILE *out)
{
    struct span vary = text_of(v, "vary"), etag = text_of(v, "etag");
    int64_t left_s = number_of(v, "fresh_left_s");
    print_key(text_of(v, "key"), out);
    fputs("\n  ", out);
    cli_print_text(text_of(v, "state"), out);
    fputs(left_s > 0 ? ", fresh for " : ", stale since ", out);
    print_duration(left_s > 0 ? left_s : -left_s, out);
    fputs(", age ", out);
    print_duration(number_of(v, "age_s"), out);
    fprintf(out, "\n  status %" PRId64, number_of(v, "status"));
    if (admin_json_member(v, "body_bytes")) {
        fputs(", ", out);
        print_bytes(number_of(v, "body_bytes"), out);
    }
    fputs(", in ", out);
    cli_print_text(text_of(v, "tier"), out);
    fprintf(out, ", %" PRId64 " hit%s, %" PRId64 " tag%s\n", number_of(v, "hits"),
            plural(number_of(v, "hits")), number_of(v, "tags"), plural(number_of(v, "tags")));
    print_forms(admin_json_member(v, "forms"), out);
    if (etag.len) {
        fputs("  etag ", out);
        cli_print_text(etag, out);
        fputc('\n', out);
    }
    while (vary.len) { /* one line per name */
        struct span line;
        (void)span_split(&vary, '\n', &line);
        if (line.len) {
            fputs("  vary ", out);
            cli_print_text(line, out);
            fputc('\n', out);
        }
    }
}

void cli_print_cache(const struct admin_json *v, FILE *out)
{
    const struct admin_json *variants = admin_json_member(v, "variants");
    size_t count = count_of(variants);
    if (!count)
        fputs("not stored\n", out);
    for (size_t i = 0; i < count; i++)
        print_variant(admin_json_at(variants, i), out);
}

static void print_share(const char *label, int64_t used, int64_t most, FILE *out)
{
    fputs(label, out);
    print_bytes(used, out);
    fputs(" of ", out);
    print_bytes(most, out);
    fputc('\n', out);
}

void cli_print_stat(const struct admin_json *v, FILE *out)
{
    const struct admin_json *cache = admin_json_member(v, "cache");
    if (!cache)
        return;
    fprintf(out, "objects  %" PRId64 ", %" PRId64 " in memory%s\n", number_of(cache, "objects"),
            number_of(cache, "objects_in_memory"),
            is_set(cache, "scanning") ? ", still scanning the disk" : "");
    print_share("memory   ", number_of(cache, "memory_bytes"),
                number_of(cache, "memory_max_bytes"), out);
    if (is_set(cache, "disk_on"))
        print_share("disk     ", number_of(cache, "disk_used_bytes"),
                    number_of(cache, "disk_max_bytes"), out);
    else
        fputs("disk     off\n", out);
    fprintf(out, "fills    %" PRId64 "\n", number_of(cache, "fills"));
}

static void print_server(const struct admin_json *v, FILE *out)
{
    fputs("origin   ", out);
    cli_print_text(text_of(v, "origin"), out);
    fputc(' ', out);
    cli_print_text(text_of(v, "server"), out);
    fprintf(out, ": %s, %" PRId64 " request%s, %" PRId64 " failed\n",
            is_set(v, "up") ? "up" : "down", number_of(v, "requests"),
            plural(number_of(v, "requests")), number_of(v, "errors"));
}

/* Cleaned, and as wide as `width` at least. */
static void print_cell(struct span text, int width, FILE *out)
{
    cli_print_text(text.len ? text : SPAN("-"), out);
    for (int i = text.len ? (int)text.len : 1; i < width; i++)
        fputc(' ', out);
    fputs("  ", out);
}

static void print_rtt(const struct admin_json *v, FILE *out)
{
    int64_t us;
    if (admin_json_integer(admin_json_member(v, "rtt_us"), &us))
        fprintf(out, "%8.2f ms  ", (double)us / 1000);
    else
        fprintf(out, "%11s  ", "-");
}

static void print_node(const struct admin_json *v, int id_width, FILE *out)
{
    struct span version = text_of(v, "version");
    char load[16] = "-";
    int64_t percent;
    if (admin_json_integer(admin_json_member(v, "load"), &percent))
        snprintf(load, sizeof load, "%d%%", (int)percent);
    print_cell(text_of(v, "id"), id_width, out);
    print_cell(text_of(v, "region"), 8, out);
    print_cell(text_of(v, "address"), 21, out);
    print_cell(is_set(v, "drain") ? SPAN("draining") : text_of(v, "state"), 8, out);
    print_rtt(v, out);
    fprintf(out, "%5s  ", load);
    cli_print_text(is_set(v, "perigee") ? version : SPAN("(serf agent)"), out);
    fprintf(out, "%s\n", is_set(v, "me") ? "  *" : "");
}

#define ID_WIDTH_MAX 32

void cli_print_nodes(const struct admin_json *v, FILE *out)
{
    const struct admin_json *nodes = admin_json_member(v, "nodes");
    int id_width = 4;
    for (size_t i = 0; i < count_of(nodes); i++) {
        struct span id = text_of(admin_json_at(nodes, i), "id");
        if ((int)id.len > id_width)
            id_width = id.len < ID_WIDTH_MAX ? (int)id.len : ID_WIDTH_MAX;
    }
    if (!is_set(v, "cluster"))
        fputs("no cluster: this node works alone\n", out);
    fprintf(out, "%-*s  %-8s  %-21s  %-8s  %11s  %5s  %s\n", id_width, "ID", "REGION",
            "ADDRESS", "STATE", "RTT", "LOAD", "VERSION");
    for (size_t i = 0; i < count_of(nodes); i++)
        print_node(admin_json_at(nodes, i), id_width, out);
}

void cli_print_forgotten(const struct admin_json *v, FILE *out)
{
    fputs("forgotten ", out);
    cli_print_text(text_of(v, "forgotten"), out);
    fputc('\n', out);
}

void cli_print_status(const struct admin_json *v, FILE *out)
{
    const struct admin_json *log = admin_json_member(v, "purge_log");
    const struct admin_json *config = admin_json_member(v, "config");
    const struct admin_json *origins = admin_json_member(v, "origins");
    fputs("node     ", out);
    cli_print_text(text_of(v, "node"), out);
    fputs(", perigee ", out);
    cli_print_text(text_of(v, "version"), out);
    fprintf(out, ", %s, up ", is_set(v, "ready") ? "ready" : "not ready");
    print_duration(number_of(v, "uptime_s"), out);
    fprintf(out, "\nclients  %" PRId64 " connection%s, %" PRId64 " worker%s\n",
            number_of(v, "connections"), plural(number_of(v, "connections")),
            number_of(v, "workers"), plural(number_of(v, "workers")));
    cli_print_stat(v, out);
    if (log)
        fprintf(out, "purges   %" PRId64 " record%s, %s\n", number_of(log, "records"),
                plural(number_of(log, "records")),
                is_set(log, "ok") ? "log ok" : "LOG IS NOT WRITTEN");
    const struct admin_json *cluster = admin_json_member(v, "cluster");
    if (is_set(cluster, "on"))
        fprintf(out, "cluster  %" PRId64 " alive, %" PRId64 " failed%s\n",
                number_of(cluster, "alive"), number_of(cluster, "failed"),
                is_set(cluster, "id_taken") ? ", ANOTHER NODE HAS THIS ID" : "");
    else if (cluster)
        fputs("cluster  off\n", out);
    if (config) {
        fputs("config   ", out);
        cli_print_text(text_of(config, "file"), out);
        fprintf(out, ", loaded %" PRId64 " time%s\n", number_of(config, "serial"),
                plural(number_of(config, "serial")));
    }
    for (size_t i = 0; i < count_of(origins); i++)
        print_server(admin_json_at(origins, i), out);
}

void cli_print_reload(const struct admin_json *v, FILE *out)
{
    const struct admin_json *faults = admin_json_member(v, "faults");
    struct span file = text_of(v, "file");
    for (size_t i = 0; i < count_of(faults); i++) {
        const struct admin_json *fault = admin_json_at(faults, i);
        cli_print_text(file, out);
        if (number_of(fault, "line"))
            fprintf(out, ":%" PRId64 ":%" PRId64, number_of(fault, "line"),
                    number_of(fault, "column"));
        fputs(is_set(fault, "warning") ? ": warning: " : ": ", out);
        cli_print_text(text_of(fault, "message"), out);
        fputc('\n', out);
    }
    if (is_set(v, "reloaded")) {
        fputs("reloaded ", out);
        cli_print_text(file, out);
        fputc('\n', out);
    } else {
        fputs("not reloaded: the old configuration runs on\n", out);
    }
}
