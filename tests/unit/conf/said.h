/* tests/unit/conf/said.h - what `perigee check` says about a text. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "conf/load.h"

#define LISTENERS "listeners: [{ address: \":80\" }]\n"
#define ORIGINS "origins: { app: { servers: [{ url: \"http://a\" }] } }\n"
#define SITES "sites: [{ hosts: [\"*\"] }]\n"
#define SMALLEST LISTENERS ORIGINS SITES

/* Owned; one line per fault, of a file named f. */
static inline char *said_of(struct span text, bool *out_good)
{
    struct conf_faults faults = {0};
    char *said = NULL;
    size_t size;
    struct conf *c = conf_load_text(text, "f", &faults);
    FILE *out = open_memstream(&said, &size);
    conf_faults_print(&faults, "f", out);
    fclose(out);
    *out_good = c != NULL;
    assert_int_equal(c == NULL, faults.errors > 0);
    conf_destroy(c);
    conf_faults_fini(&faults);
    return said;
}

struct said_row {
    const char *text, *said, *why;
};
static inline void said_check(const struct said_row *rows, size_t count)
{
    int failed = 0;
    for (size_t i = 0; i < count; i++) {
        bool good;
        char *said = said_of(span_text(rows[i].text), &good);
        if (strcmp(said, rows[i].said) != 0) {
            print_error("%s:\n%ssaid: %s", rows[i].why, rows[i].text, said);
            failed++;
        }
        free(said);
    }
    assert_int_equal(failed, 0);
}
