/* node/front/session_h2.h - HTTP/2 on a client's connection.
 *
 * An exchange per stream; bodies are copied into frames, all frames of a turn go out together.
 * Credit for a request's body is given as its exchange takes it.
 *
 * Thread: its loop's.
 * Owns: what a stream needs lies in its own arena (base/http/h2.h), but for the body bytes that
 *       wait for the exchange: at most the stream's window.
 */
#pragma once

#include "node/front/session_core.h"

extern const struct front_protocol front_session_h2;
