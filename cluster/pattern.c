#include "cluster/pattern.h"

/* A matcher by continuation: each piece of the expression is tried at a place in the text, and
 * what follows it is asked whether it matches from there. Recursion is bounded by `depth`. */

#define RECURSION_MAX 1500u
#define REPEAT_MAX 1000u /* as Go */
#define NO_MAX UINT32_MAX

struct matching {
    const char *text, *text_end;
    uint32_t steps, depth;
    enum err err;
};

/* What is to be matched after a piece. */
struct rest {
    const char *at, *end;        /* a sequence of the expression, up to the end of its branch */
    const struct rest *then;     /* after it; NULL: the match is complete */
    const struct repeat *repeat; /* instead of at..end: once more of a loop */
};

struct repeat {
    const char *atom, *atom_end;
    uint32_t min, max, done;
    const char *from; /* where the last round began: an empty round ends the loop */
    const struct rest *then;
};

static bool match_sequence(struct matching *m, const char *at, const char *end,
                           const char *text, const struct rest *then);

/* --- reading the expression --- */

/* Behind the class that begins at `at` ('['), or NULL. */
static const char *class_end(const char *at, const char *end)
{
    at++;
    if (at < end && *at == '^')
        at++;
    if (at < end && *at == ']') /* the first one is a member */
        at++;
    while (at < end && *at != ']') {
        if (*at == '[' && at + 1 < end && at[1] == ':') /* POSIX classes: not ours */
            return NULL;
        at += *at == '\\' ? 2 : 1;
    }
    return at < end ? at + 1 : NULL;
}

/* Behind the group that begins at `at` ('('), or NULL. */
static const char *group_end(const char *at, const char *end)
{
    unsigned open = 0;
    while (at < end) {
        if (*at == '[') {
            if (!(at = class_end(at, end)))
                return NULL;
            continue;
        }
        if (*at == '\\') {
            at += 2;
            continue;
        }
        if (*at == '(' && ++open > CLUSTER_PATTERN_DEPTH)
            return NULL;
        if (*at == ')' && --open == 0)
            return at + 1;
        at++;
    }
    return NULL;
}

/* Behind the atom that begins at `at`, or NULL. */
static const char *atom_end(const char *at, const char *end)
{
    switch (*at) {
    case '[':
        return class_end(at, end);
    case '(':
        return group_end(at, end);
    case '\\':
        return at + 1 < end ? at + 2 : NULL;
    case '*':
    case '+':
    case '?':
    case ')':
        return NULL;
    default:
        return at + 1;
    }
}

static bool get_number(const char **at, const char *end, uint32_t *out)
{
    const char *from = *at;
    uint32_t n = 0;
    for (; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
        n = n * 10 + (uint32_t)(**at - '0');
        if (n > REPEAT_MAX)
            return false;
    }
    *out = n;
    return *at > from;
}

/* {m}, {m,} or {m,n}; `*at` behind the brace that opens it. */
static bool get_bounds(const char **at, const char *end, struct repeat *out)
{
    if (!get_number(at, end, &out->min))
        return false;
    out->max = out->min;
    if (*at < end && **at == ',') {
        (*at)++;
        out->max = NO_MAX;
        if (*at < end && **at != '}' &&
            (!get_number(at, end, &out->max) || out->max < out->min))
            return false;
    }
    if (*at == end || **at != '}')
        return false;
    (*at)++;
    return true;
}

/* What says how often the atom before `*at` comes; false: it cannot be read. */
static bool get_repeat(const char **at, const char *end, struct repeat *out)
{
    out->min = out->max = 1;
    if (*at == end)
        return true;
    switch (**at) {
    case '*':
        *out = (struct repeat){.min = 0, .max = NO_MAX};
        break;
    case '+':
        *out = (struct repeat){.min = 1, .max = NO_MAX};
        break;
    case '?':
        *out = (struct repeat){.min = 0, .max = 1};
        break;
    case '{':
        (*at)++;
        if (!get_bounds(at, end, out))
            return false;
        (*at)--;
        break;
    default:
        return true;
    }
    (*at)++;
    if (*at < end && **at == '?') /* lazy: another way to the same answer */
        (*at)++;
    return *at == end || !strchr("*+?", **at);
}

/* Where the branch that begins at `at` ends: at '|' of this level, or `end`. */
static const char *branch_end(const char *at, const char *end)
{
    while (at < end && *at != '|') {
        const char *next = *at == '[' || *at == '(' || *at == '\\' ? atom_end(at, end) : at + 1;
        if (!next)
            return end;
        at = next;
    }
    return at;
}

static bool known_escape(char c)
{
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return !letter || strchr("dDwWsS", c);
}

/* The inside of a group without "?:"; NULL: another kind of group. */
static const char *group_inside(const char *atom, const char *atom_stop)
{
    const char *at = atom + 1;
    if (at < atom_stop && *at == '?') {
        if (at + 1 >= atom_stop || at[1] != ':')
            return NULL;
        at += 2;
    }
    return at;
}

static bool check(const char *at, const char *end, unsigned depth);

static bool check_class(const char *at, const char *end)
{
    for (; at < end; at++)
        if (*at == '\\' && !known_escape(*++at))
            return false;
    return true;
}

static bool check_atom(const char *at, const char *end, unsigned depth)
{
    if (*at == '\\')
        return known_escape(at[1]);
    if (*at == '[')
        return check_class(at, end);
    if (*at != '(')
        return true;
    const char *inside = group_inside(at, end);
    return inside && depth < CLUSTER_PATTERN_DEPTH && check(inside, end - 1, depth + 1);
}

/* Can all of it be read? Then matching needs no look at errors. */
static bool check(const char *at, const char *end, unsigned depth)
{
    while (at < end) {
        if (*at == '|') {
            at++;
            continue;
        }
        const char *next = atom_end(at, end);
        struct repeat r;
        if (!next || next > end || !check_atom(at, next, depth))
            return false;
        at = next;
        if (!get_repeat(&at, end, &r))
            return false;
    }
    return true;
}

/* --- matching --- */

static bool in_escape(char kind, char c)
{
    bool digit = c >= '0' && c <= '9';
    bool word = digit || c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    bool space = c == ' ' || (c >= '\t' && c <= '\r' && c != '\v');
    switch (kind) {
    case 'd':
        return digit;
    case 'D':
        return !digit;
    case 'w':
        return word;
    case 'W':
        return !word;
    case 's':
        return space;
    case 'S':
        return !space;
    default:
        return c == kind;
    }
}

static bool in_class(const char *at, const char *end, char c)
{
    bool negated = *++at == '^', found = false;
    if (negated)
        at++;
    end--; /* ']' */
    while (at < end) {
        if (*at == '\\') {
            found = found || in_escape(at[1], c);
            at += 2;
        } else if (at + 2 < end && at[1] == '-' && at[2] != '\\') {
            found = found || ((uint8_t)c >= (uint8_t)at[0] && (uint8_t)c <= (uint8_t)at[2]);
            at += 3;
        } else {
            found = found || c == *at;
            at++;
        }
    }
    return found != negated;
}

static bool one_fits(const char *atom, const char *end, char c)
{
    switch (*atom) {
    case '.':
        return c != '\n';
    case '[':
        return in_class(atom, end, c);
    case '\\':
        return in_escape(atom[1], c);
    default:
        return c == *atom;
    }
}

static bool match_loop(struct matching *m, const struct repeat *r, const char *text);

static bool match_rest(struct matching *m, const struct rest *rest, const char *text)
{
    if (!rest)
        return true;
    if (rest->repeat)
        return match_loop(m, rest->repeat, text);
    return match_sequence(m, rest->at, rest->end, text, rest->then);
}

static bool match_group(struct matching *m, const char *atom, const char *end, const char *text,
                        const struct rest *then)
{
    const char *at = group_inside(atom, end);
    end--; /* ')' */
    for (;;) {
        const char *stop = branch_end(at, end);
        if (match_sequence(m, at, stop, text, then))
            return true;
        if (stop == end || m->err != ERR_OK)
            return false;
        at = stop + 1;
    }
}

static bool match_atom(struct matching *m, const char *atom, const char *end, const char *text,
                       const struct rest *then)
{
    if (*atom == '(')
        return match_group(m, atom, end, text, then);
    if (*atom == '^')
        return text == m->text && match_rest(m, then, text);
    if (*atom == '$')
        return text == m->text_end && match_rest(m, then, text);
    return text < m->text_end && one_fits(atom, end, *text) && match_rest(m, then, text + 1);
}

static bool step(struct matching *m)
{
    if (++m->steps > CLUSTER_PATTERN_STEPS || m->depth >= RECURSION_MAX)
        m->err = ERR_LIMIT;
    return m->err == ERR_OK;
}

/* As many rounds as there can be, then fewer. */
static bool match_loop(struct matching *m, const struct repeat *r, const char *text)
{
    bool empty_round = r->done > 0 && text == r->from, match = false;
    if (!step(m))
        return false;
    m->depth++;
    if (r->done < r->max && !empty_round) {
        struct repeat next = *r;
        next.done++;
        next.from = text;
        const struct rest again = {.repeat = &next};
        match = match_atom(m, r->atom, r->atom_end, text, &again);
    }
    /* What matched nothing once can do so as often as is asked for. */
    if (!match && (r->done >= r->min || empty_round) && m->err == ERR_OK)
        match = match_rest(m, r->then, text);
    m->depth--;
    return match;
}

static bool match_sequence(struct matching *m, const char *at, const char *end,
                           const char *text, const struct rest *then)
{
    if (!step(m))
        return false;
    if (at == end)
        return match_rest(m, then, text);
    struct repeat r;
    const char *next = atom_end(at, end);
    const char *behind = next;
    get_repeat(&behind, end, &r);
    const struct rest rest = {.at = behind, .end = end, .then = then};
    m->depth++;
    bool match;
    if (r.min == 1 && r.max == 1) {
        match = match_atom(m, at, next, text, &rest);
    } else {
        r.atom = at;
        r.atom_end = next;
        r.done = 0;
        r.from = NULL;
        r.then = &rest;
        match = match_loop(m, &r, text);
    }
    m->depth--;
    return match;
}

enum err cluster_pattern_match(struct span expression, struct span text, bool *out_match)
{
    if (expression.len > CLUSTER_PATTERN_BYTES)
        return ERR_LIMIT;
    const char *from = expression.len > 0 ? expression.ptr : "";
    const char *end = from + expression.len;
    if (!check(from, end, 0))
        return ERR_SYNTAX;
    const char *first = text.len > 0 ? text.ptr : "";
    struct matching m = {.text = first, .text_end = first + text.len, .err = ERR_OK};
    bool match = false;
    for (const char *at = first; at <= m.text_end && !match && m.err == ERR_OK; at++) {
        for (const char *branch = from; !match && m.err == ERR_OK;) {
            const char *stop = branch_end(branch, end);
            match = match_sequence(&m, branch, stop, at, NULL);
            if (stop == end)
                break;
            branch = stop + 1;
        }
    }
    if (m.err == ERR_OK)
        *out_match = match;
    return m.err;
}
