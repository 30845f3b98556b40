#include "admin/auth.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/crypto.h"

#define TOKEN_MIN 16
#define TOKEN_MAX 512
#define DIGEST_BYTES 32

struct admin_auth {
    const struct conf_admin *conf;
    uint8_t (*digests)[DIGEST_BYTES]; /* as many as conf has tokens */
};

static bool is_token_octet(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("-._~+/=", c));
}

static const char *check_token(struct span token)
{
    for (size_t i = 0; i < token.len; i++)
        if (!is_token_octet(token.ptr[i]))
            return "a token is letters, digits and -._~+/= only";
    if (token.len < TOKEN_MIN)
        return "a token has at least 16 characters";
    return token.len > TOKEN_MAX ? "a token has at most 512 characters" : NULL;
}

/* NULL, or what is wrong with the file. */
static const char *read_token(const char *path, uint8_t digest[DIGEST_BYTES])
{
    char bytes[TOKEN_MAX + 3];
    FILE *file = fopen(path, "re");
    if (!file)
        return "cannot be read";
    size_t len = fread(bytes, 1, sizeof bytes, file);
    bool failed = ferror(file) != 0;
    fclose(file);
    if (failed)
        return "cannot be read";
    struct span rest = span_of(bytes, len), token = rest;
    (void)span_split(&rest, '\n', &token);
    if (span_ends(token, SPAN("\r")))
        token = span_until(token, token.len - 1);
    const char *wrong = check_token(token);
    if (!wrong && crypto_sha256(token, digest) != ERR_OK)
        wrong = "SHA-256 failed";
    return wrong;
}

struct admin_auth *admin_auth_create(const struct conf *conf, struct conf_faults *faults)
{
    const struct conf_admin *admin = &conf->admin;
    struct admin_auth *a = must_alloc(sizeof *a);
    bool ok = true;
    a->conf = admin;
    a->digests = must_alloc((admin->token_count + 1) * sizeof *a->digests);
    for (uint32_t i = 0; i < admin->token_count; i++) {
        const struct conf_token *token = &admin->tokens[i];
        const char *wrong = read_token(token->file, a->digests[i]);
        if (!wrong)
            continue;
        conf_fault_add(faults, token->place, "token %s: %s: %s", token->name, token->file,
                       wrong);
        ok = false;
    }
    if (ok)
        return a;
    admin_auth_destroy(a);
    return NULL;
}

void admin_auth_destroy(struct admin_auth *a)
{
    if (!a)
        return;
    free(a->digests);
    free(a);
}

static bool bearer(struct span value, struct span *out_token)
{
    if (!span_starts_nocase(value, SPAN("bearer ")))
        return false;
    *out_token = span_trim(span_from(value, 7));
    return out_token->len > 0;
}

enum err admin_auth_find(const struct admin_auth *a, const struct http_fields *f, bool local,
                         struct admin_caller *out)
{
    const struct http_field *field = http_fields_find(f, HTTP_NAME_AUTHORIZATION);
    struct admin_caller caller = {.open = local && !a->conf->token_count};
    uint8_t digest[DIGEST_BYTES];
    struct span token;
    if (field && a->conf->token_count) {
        if (http_fields_count(f, HTTP_NAME_AUTHORIZATION) > 1 ||
            !bearer(field->value, &token) || crypto_sha256(token, digest) != ERR_OK)
            return ERR_REFUSED;
        /* all of them, so that the time does not tell which one was met */
        for (uint32_t i = 0; i < a->conf->token_count; i++)
            if (crypto_equal(span_of(digest, sizeof digest),
                             span_of(a->digests[i], sizeof digest)))
                caller.token = &a->conf->tokens[i];
        if (!caller.token)
            return ERR_REFUSED;
    }
    *out = caller;
    return ERR_OK;
}

bool admin_auth_has(const struct admin_caller *c, enum admin_scope scope)
{
    if (scope == ADMIN_SCOPE_NONE || c->open)
        return true;
    if (!c->token)
        return false;
    if (c->token->scope_admin)
        return true;
    return (scope == ADMIN_SCOPE_READ && c->token->scope_read) ||
           (scope == ADMIN_SCOPE_PURGE && c->token->scope_purge);
}

bool admin_auth_site(const struct admin_caller *c, struct span site)
{
    if (!c->token || !c->token->sites.count)
        return c->open || c->token;
    for (uint32_t i = 0; i < c->token->sites.count; i++)
        if (site.len && span_equal(site, span_text(c->token->sites.at[i])))
            return true;
    return false;
}
