#include "node/front/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/counter.h"
#include "base/letter.h"
#include "base/log.h"

#define PATIENCE_MS 2000

struct front_log_sink {
    struct letter_crew *crew; /* one thread, so that buffers and changes keep their order */
    pthread_mutex_t lock;     /* protects the way home of a buffer that is waited for */
    pthread_cond_t came_home;
    /* the scribe's own: */
    int fd;
    bool is_file;  /* else a pipe, terminal or socket, whose other end may be slow or gone */
    bool mid_line; /* the last octet that got out was no '\n' */
    bool stalled;  /* the other end took nothing for PATIENCE_MS */
    bool said_gone;
    struct log_limit failed;
};

struct buffer {
    struct letter letter;
    struct front_log_sink *sink;
    atomic_bool out; /* the scribe's; comes back with the lock held */
    size_t used;
    unsigned lines;
    char bytes[64 * 1024];
};

struct front_log {
    struct front_log_sink *sink;
    struct buffer *current; /* being filled, unless it is out: then both are */
    struct buffer buffers[2];
    uint32_t dropped; /* because both were out */
    struct log_limit behind;
};

static enum err open_path(const char *path, int *out_fd)
{
    char text[256];
    /* O_NONBLOCK: a FIFO that nobody reads must not hold up the start; files do not care. */
    int fd = strcmp(path, "stdout") == 0
                 ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
                 : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
                        0640);
    if (fd < 0) {
        log_line(LOG_ERROR, "access_log_open", "path=%s error=\"%s\"",
                 log_quote(span_text(path), text, sizeof(text)), strerrordesc_np(errno));
        return ERR_SYS;
    }
    *out_fd = fd;
    return ERR_OK;
}

static void use(struct front_log_sink *s, int fd)
{
    struct stat st;
    s->fd = fd;
    s->is_file = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    s->mid_line = s->stalled = s->said_gone = false;
}

enum err front_log_open(const char *path, struct front_log_sink **out)
{
    int fd;
    enum err err = open_path(path, &fd);
    if (err)
        return err;
    struct front_log_sink *s = must_alloc(sizeof(*s));
    must(pthread_mutex_init(&s->lock, NULL) == 0);
    must(pthread_cond_init(&s->came_home, NULL) == 0);
    use(s, fd);
    s->crew = letter_crew_create(&(struct letter_crew_conf){.name = "scribe", .threads = 1});
    *out = s;
    return ERR_OK;
}

struct change {
    struct letter letter;
    struct front_log_sink *sink;
    int fd;
};

static void change_file(struct letter *l)
{
    struct change *c = CONTAINER_OF(l, struct change, letter);
    (void)close(c->sink->fd);
    use(c->sink, c->fd);
    free(c);
}

/* The new file is a letter behind the buffers of the old one: each goes whole into one of them,
 * and the caller does not wait for a slow disk. */
enum err front_log_reopen(struct front_log_sink *s, const char *path)
{
    int fd;
    enum err err = open_path(path, &fd);
    if (err)
        return err;
    struct change *c = must_alloc(sizeof(*c));
    c->sink = s;
    c->fd = fd;
    letter_crew_post(s->crew, &c->letter, change_file);
    return ERR_OK;
}

void front_log_close(struct front_log_sink *s)
{
    if (!s)
        return;
    letter_crew_destroy(s->crew);
    (void)close(s->fd);
    pthread_cond_destroy(&s->came_home);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static int64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Does the other end take something before `until_ms`? Files always do. */
static bool wait_for_room(const struct front_log_sink *s, int64_t until_ms)
{
    struct pollfd p = {.fd = s->fd, .events = POLLOUT};
    int ready;
    do {
        int64_t left_ms = until_ms - clock_ms();
        ready = poll(&p, 1, left_ms > 0 ? (int)left_ms : 0);
    } while (ready < 0 && errno == EINTR);
    return ready != 0;
}

/* All of it, or the errno of why not; *out_wrote says how much got out. An end that takes
 * nothing for PATIENCE_MS is given up, and not waited for again before it takes something: the
 * end of the process must not hang on it. */
static int write_all(struct front_log_sink *s, struct span bytes, size_t *out_wrote)
{
    /* Poll promises a pipe's room for no more than this (pipe(7)). */
    size_t most = s->is_file ? bytes.len : PIPE_BUF;
    int64_t until_ms = clock_ms() + (s->stalled ? 0 : PATIENCE_MS);
    int why = 0;
    size_t at = 0;
    while (at < bytes.len && !why) {
        if (!wait_for_room(s, until_ms)) {
            why = ETIMEDOUT;
            break;
        }
        size_t left = bytes.len - at;
        ssize_t wrote = write(s->fd, bytes.ptr + at, left < most ? left : most);
        if (wrote > 0) {
            at += (size_t)wrote;
            s->mid_line = bytes.ptr[at - 1] != '\n';
            until_ms = clock_ms() + PATIENCE_MS;
        } else if (wrote < 0 && errno == EAGAIN) {
            (void)poll(NULL, 0, 10); /* another writer took the room */
            why = clock_ms() < until_ms ? 0 : ETIMEDOUT;
        } else if (wrote == 0 || errno != EINTR) {
            why = wrote == 0 ? EIO : errno;
        }
    }
    s->stalled = why == ETIMEDOUT;
    *out_wrote = at;
    return why;
}

static unsigned count_lines(struct span s)
{
    unsigned lines = 0;
    for (size_t at; span_find(s, '\n', &at); s = span_from(s, at + 1))
        lines++;
    return lines;
}

static void write_buffer(struct front_log_sink *s, const struct buffer *b)
{
    size_t wrote = 0;
    int why = 0;
    /* A line that was cut by a full disk stays cut; the next one begins on a line of its own.
     */
    if (s->mid_line)
        why = write_all(s, SPAN("\n"), &wrote);
    wrote = 0;
    if (!why)
        why = write_all(s, span_of(b->bytes, b->used), &wrote);
    if (!why) {
        s->said_gone = false;
        return;
    }
    unsigned dropped = b->lines - count_lines(span_of(b->bytes, wrote));
    counter_add(COUNTER_ACCESS_LOG_DROPPED, dropped);
    /* Readers that went away do not come back: one line says it. */
    if (why != EPIPE || !s->said_gone)
        log_limited(&s->failed, 1, LOG_WARN, "access_log_write", "error=\"%s\" dropped=%u",
                    strerrordesc_np(why), dropped);
    s->said_gone = why == EPIPE;
}

static void open_buffer(struct letter *l)
{
    struct buffer *b = CONTAINER_OF(l, struct buffer, letter);
    struct front_log_sink *s = b->sink;
    write_buffer(s, b);
    b->used = b->lines = 0;
    /* Home: from the unlock on, its log may be gone. */
    pthread_mutex_lock(&s->lock);
    atomic_store_explicit(&b->out, false, memory_order_release);
    pthread_cond_broadcast(&s->came_home);
    pthread_mutex_unlock(&s->lock);
}

/* ---- a loop's side ---- */

struct front_log *front_log_create(struct front_log_sink *s)
{
    struct front_log *l = must_alloc(sizeof(*l));
    l->sink = s;
    l->current = &l->buffers[0];
    for (size_t i = 0; i < ARRAY_LEN(l->buffers); i++)
        l->buffers[i].sink = s;
    return l;
}

static bool is_out(struct buffer *b)
{
    return atomic_load_explicit(&b->out, memory_order_acquire);
}

static struct buffer *other(struct front_log *l)
{
    return l->current == &l->buffers[0] ? &l->buffers[1] : &l->buffers[0];
}

/* The other one was posted before, so it is also the first to come home. */
static void post(struct front_log *l)
{
    struct buffer *b = l->current;
    l->current = other(l);
    atomic_store_explicit(&b->out, true, memory_order_relaxed);
    letter_crew_post(l->sink->crew, &b->letter, open_buffer);
}

void front_log_write(struct front_log *l, const struct front_log_line *line)
{
    if (!l)
        return;
    struct buffer *b = l->current;
    if (is_out(b)) {
        l->dropped++;
        counter_add(COUNTER_ACCESS_LOG_DROPPED, 1);
        log_limited(&l->behind, 1, LOG_WARN, "access_log_behind", "dropped=%u", l->dropped);
        return;
    }
    b->used += front_log_format(line, b->bytes + b->used, sizeof(b->bytes) - b->used);
    b->lines++;
    if (sizeof(b->bytes) - b->used < FRONT_LOG_LINE_MAX)
        post(l);
}

void front_log_flush(struct front_log *l)
{
    /* While the scribe still has the other one, a part of this one would only take its place.
     */
    if (l && !is_out(l->current) && l->current->used && !is_out(other(l)))
        post(l);
}

void front_log_destroy(struct front_log *l)
{
    if (!l)
        return;
    if (!is_out(l->current) && l->current->used)
        post(l);
    pthread_mutex_lock(&l->sink->lock);
    while (is_out(&l->buffers[0]) || is_out(&l->buffers[1]))
        pthread_cond_wait(&l->sink->came_home, &l->sink->lock);
    pthread_mutex_unlock(&l->sink->lock);
    free(l);
}
