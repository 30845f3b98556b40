#include "conf/conf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* More than a person reads; keeps a hostile file from growing the list without end. */
#define FAULTS_MAX 1000
#define MESSAGE_MAX 512

static void add(struct conf_faults *f, struct conf_place place, bool warning,
                const char *message)
{
    if (!warning)
        f->errors++;
    if (f->count == FAULTS_MAX)
        return;
    if (f->count == FAULTS_MAX - 1) {
        message = "more faults follow; these come first";
        warning = true;
    }
    if (f->count == f->room) {
        f->room = f->room ? f->room * 2 : 16;
        f->at = must_realloc(f->at, f->room * sizeof *f->at);
    }
    char *text = span_dup(span_text(message));
    for (char *at = text; *at; at++) /* a fault stays one line, whatever it quotes */
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            *at = '?';
    f->at[f->count++] = (struct conf_fault){
        .line = place.line, .column = place.column, .warning = warning, .message = text};
}

void conf_fault_add(struct conf_faults *f, struct conf_place place, const char *fmt, ...)
{
    char message[MESSAGE_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    add(f, place, false, message);
}

void conf_fault_warn(struct conf_faults *f, struct conf_place place, const char *fmt, ...)
{
    char message[MESSAGE_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    add(f, place, true, message);
}

static int compare(const void *a, const void *b)
{
    const struct conf_fault *x = a, *y = b;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    if (x->column != y->column)
        return x->column < y->column ? -1 : 1;
    return strcmp(x->message, y->message);
}

void conf_faults_sort(struct conf_faults *f)
{
    if (f->count)
        qsort(f->at, f->count, sizeof *f->at, compare);
}

void conf_faults_print(const struct conf_faults *f, const char *file, FILE *out)
{
    for (uint32_t i = 0; i < f->count; i++) {
        const struct conf_fault *fault = &f->at[i];
        const char *kind = fault->warning ? "warning: " : "";
        if (fault->line)
            fprintf(out, "%s:%d:%d: %s%s\n", file, fault->line, fault->column, kind,
                    fault->message);
        else
            fprintf(out, "%s: %s%s\n", file, kind, fault->message);
    }
}

void conf_faults_fini(struct conf_faults *f)
{
    if (!f)
        return;
    for (uint32_t i = 0; i < f->count; i++)
        free(f->at[i].message);
    free(f->at);
    *f = (struct conf_faults){0};
}

void conf_destroy(struct conf *c)
{
    if (!c)
        return;
    arena_fini(&c->arena);
    free(c);
}
