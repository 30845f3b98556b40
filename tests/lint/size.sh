#!/bin/sh
# Reports functions of more than 70 lines and .c files of more than 500; blocks nothing.
set -eu
find base conf cache geo cluster admin node -name '*.c' 2>/dev/null | sort | while read -r file; do
    awk -v file="$file" '
        /^\{$/ { start = NR; name = last }
        /^\}/ && start { if (NR - start + 1 > 70) printf "size: %s: %d lines: %s\n", file, NR - start + 1, name; start = 0 }
        /^[a-z_].*\(/ { last = $0 }
        END { if (NR > 500) printf "size: %s: %d lines\n", file, NR }' "$file"
done
