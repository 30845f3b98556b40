#!/bin/sh
# The repository's scripts pass shellcheck. 77: it is not installed, ctest's skip.
set -eu
command -v shellcheck >/dev/null || exit 77
exec shellcheck -x run test .ci/run docker/entrypoint.sh tests/lint/*.sh
