/* node/front/session_h1.h - HTTP/1.1 on a client's connection.
 *
 * One exchange at a time: the next request is read when this one's answer is out and its body
 * is whole (RFC 9112 9.3.2, pipelining; CVE-2025-4366, a body that was taken for a request).
 * Bodies go out from the exchange's memory, heads from the loop's scratch.
 *
 * Thread: its loop's.
 * Owns: a connection between requests keeps the parser alone; the exchange comes with the first
 *       byte of a request.
 * Limits: 64 KiB of a body that nobody wants are read, then the connection ends; as much of one
 *         that the exchange does not take yet is kept.
 */
#pragma once

#include "node/front/session_core.h"

extern const struct front_protocol front_session_h1;
