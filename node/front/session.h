/* node/front/session.h - one client's connection: its protocol, its exchanges, its end.
 *
 * The core of an io_stream (node/io/stream_ev.h). ALPN decides: session_h1.c or session_h2.c.
 *
 * Thread: its loop's. Owns: the stream, the protocol core, its exchanges, a count on the setup
 * it was accepted under.
 * Limits and times (conf limits): header_ms for a whole head from its first byte (from accept
 * for the first), keepalive_ms between requests, body_idle_ms without progress of a request's
 * body or of a reader that does not take the answer.
 */
#pragma once

#include "node/front/front.h"

/* Takes the descriptor. `listener` NULL: the admin listener. Over front->connections_max the
 * connection is closed at once, counted and logged (limited). */
void front_session_accept(struct front *f, int fd, const struct addr *peer,
                          const struct setup_listener *listener);
/* Sets front->draining: idle connections are closed, busy ones after their answer; HTTP/2 hears
 * GOAWAY. New ones may still come. */
void front_session_drain(struct front *f);
void front_session_close_all(struct front *f); /* at once, whatever runs */
