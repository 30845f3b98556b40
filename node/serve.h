/* node/serve.h - `perigee serve`: from a file to the exit code, in order.
 *
 * Thread: main, before and after all others.
 * Exit codes: 0 stopped when asked to, 1 something could not be had, 2 a faulty file.
 */
#pragma once

int node_serve(const char *file);
