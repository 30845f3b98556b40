/* base/err.h - how a function of this program says that it failed.
 *
 * void cannot fail; bool answers a question; a pointer is found or NULL; all else returns
 * enum err. Our bug: must() aborts, in every build. Their bytes: an enum err, never must().
 * The world (disk full, no descriptors): an enum err, logged once where it is handled.
 *
 * Thread: any.
 */
#pragma once

#include <stddef.h>

enum err {
    ERR_OK,
    ERR_AGAIN,   /* nothing now; more input, room or time is needed */
    ERR_CLOSED,  /* the other side is done */
    ERR_SYNTAX,  /* bytes that break the format */
    ERR_LIMIT,   /* a named bound was reached */
    ERR_REFUSED, /* understood, and not allowed */
    ERR_TIMEOUT,
    ERR_NOT_FOUND,
    ERR_CORRUPT, /* stored bytes are not what was written */
    ERR_SYS,     /* the system refused (disk, descriptors, permissions) */
    ERR_LIB,     /* a library refused for a reason of its own */
};

#define NODISCARD __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
/* The struct that holds `member` at `ptr`. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

const char *err_text(enum err e); /* "ok", "again", ... static */

_Noreturn void err_must_failed(const char *cond, const char *file, int line);
#define must(cond) ((cond) ? (void)0 : err_must_failed(#cond, __FILE__, __LINE__))

/* malloc and realloc that abort when memory is out: for start-up and small bookkeeping. Never
 * for a size that an outsider chooses. */
void *must_alloc(size_t bytes);              /* zeroed; owned */
void *must_realloc(void *ptr, size_t bytes); /* owned */
