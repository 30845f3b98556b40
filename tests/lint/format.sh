#!/bin/sh
# The tree is formatted as .clang-format says. 77: no clang-format 14 here, ctest's skip.
set -eu
command -v clang-format-14 >/dev/null || exit 77
find . -path ./build -prune -o -name '*.[ch]' -print0 |
    xargs -0 clang-format-14 --dry-run --Werror --ferror-limit=3
