#include "conf/suggest.h"

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Damerau-Levenshtein (optimal string alignment) over three rows. */
static unsigned distance(struct span a, struct span b)
{
    unsigned rows[3][CONF_SUGGEST_WORD_MAX + 1];
    unsigned *before = rows[0], *last = rows[1], *row = rows[2];
    for (unsigned j = 0; j <= b.len; j++)
        last[j] = before[j] = j;
    for (unsigned i = 1; i <= a.len; i++) {
        row[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            char x = lower(a.ptr[i - 1]), y = lower(b.ptr[j - 1]);
            row[j] = least(least(last[j] + 1, row[j - 1] + 1), last[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == lower(b.ptr[j - 2]) && lower(a.ptr[i - 2]) == y)
                row[j] = least(row[j], before[j - 2] + 1);
        }
        unsigned *spare = before;
        before = last;
        last = row;
        row = spare;
    }
    return last[b.len];
}

void conf_suggest_init(struct conf_suggest *s, struct span word)
{
    *s = (struct conf_suggest){.word = word};
    size_t near = (word.len + 2) / 3;
    s->best_distance = (near < 3 ? (unsigned)near : 3) + 1;
}

void conf_suggest_offer(struct conf_suggest *s, struct span known)
{
    if (s->word.len > CONF_SUGGEST_WORD_MAX || known.len > CONF_SUGGEST_WORD_MAX)
        return;
    unsigned d = distance(s->word, known);
    if (d < s->best_distance) {
        s->best = known;
        s->best_distance = d;
    }
}
