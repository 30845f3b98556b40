/* node/front/session_core.h - what the protocols of a session share.
 *
 * For session.c, session_h1.c and session_h2.c alone.
 *
 * Thread: its loop's. Owns: see session.h.
 */
#pragma once

#include "node/front/exchange.h"
#include "node/front/session.h"
#include "node/io/stream_ev.h"

/* A protocol on the stream. `state` is its own; all but open may use it. */
struct front_protocol {
    void (*open)(struct front_session *s); /* sets s->state */
    size_t (*input)(struct front_session *s, struct span bytes);
    void (*input_end)(struct front_session *s);
    size_t (*output)(struct front_session *s, struct span *out, size_t max, char *scratch,
                     size_t room);
    void (*timeout)(struct front_session *s); /* of s->timer, outside of the stream's calls */
    void (*drain)(struct front_session *s);
    void (*close)(struct front_session *s); /* ends all exchanges, frees the state */
};

struct front_session {
    struct front *front;
    struct io_stream *stream;
    struct setup *setup; /* held: that it was accepted under */
    struct front_client client;
    const struct front_protocol *protocol; /* NULL until the stream is ready */
    void *state;
    struct io_timer timer;
    int64_t accepted_at_ms;
    int64_t taken_at_ms;  /* when the client last took some of what waits for it */
    size_t untaken_bytes; /* how much waited then */
    struct front_session *next, **prev;
};

static inline const struct conf_limits *front_session_limits(const struct front_session *s)
{
    return &s->setup->conf->limits;
}

static inline int64_t front_session_now_ms(const struct front_session *s)
{
    return s->front->loop->now_ms;
}

/* The timer fires in `wait_ms`, whatever it was set to. */
void front_session_wait(struct front_session *s, uint32_t wait_ms);
/* The timer fires in `wait_ms` or before. */
void front_session_wait_at_most(struct front_session *s, uint32_t wait_ms);
/* For a timer that fired: something waits for a client that took nothing for body_idle_ms. When
 * the client does take something, the timer is set anew. */
enum front_taking {
    FRONT_TAKEN,   /* nothing waits */
    FRONT_TAKING,  /* some waits, and less than before */
    FRONT_STALLED, /* the client takes nothing */
};
enum front_taking front_session_taking(struct front_session *s);
