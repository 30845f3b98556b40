#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>

const char *err_text(enum err e)
{
    switch (e) {
    case ERR_OK:
        return "ok";
    case ERR_AGAIN:
        return "again";
    case ERR_CLOSED:
        return "closed";
    case ERR_SYNTAX:
        return "syntax";
    case ERR_LIMIT:
        return "limit";
    case ERR_REFUSED:
        return "refused";
    case ERR_TIMEOUT:
        return "timeout";
    case ERR_NOT_FOUND:
        return "not found";
    case ERR_CORRUPT:
        return "corrupt";
    case ERR_SYS:
        return "system";
    case ERR_LIB:
        return "library";
    }
    return "?";
}

void err_must_failed(const char *cond, const char *file, int line)
{
    fprintf(stderr, "event=must_failed condition=\"%s\" file=%s line=%d\n", cond, file, line);
    abort();
}

void *must_alloc(size_t bytes)
{
    void *ptr = calloc(1, bytes ? bytes : 1);
    must(ptr);
    return ptr;
}

void *must_realloc(void *ptr, size_t bytes)
{
    void *moved = realloc(ptr, bytes ? bytes : 1);
    must(moved);
    return moved;
}
