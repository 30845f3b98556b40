#!/bin/bash
# tests/plant/live.sh - would the run over real nodes notice? By command, as root.
#
# Each patch in live/ plants one fault into a copy of the sources; five nodes made of it run
# under tests/system/measure_purges.py chaos, which has to find stale answers.
#
#   tests/plant/live.sh [SECONDS] [PATCH...]     150 s, all patches
#
# Exit: 0 when each was caught.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
seconds=${1:-150}
shift || true
patches=("$@")
[ ${#patches[@]} -gt 0 ] || patches=("$here"/live/*.patch)

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
bad=0
for patch in "${patches[@]}"; do
    name=$(basename "$patch" .patch)
    rm -rf "${copy:?}"/*
    cd "$top"
    for part in CMakeLists.txt CMakePresets.json base conf cache cluster geo admin node tests; do
        if [ -e "$part" ]; then cp -r "$part" "$copy"; fi
    done
    cd "$copy"
    patch -s -p1 <"$patch"
    cmake --preset release >/dev/null
    cmake --build build/release -j "${JOBS:-2}" --target perigee >build.log 2>&1 || { cat build.log; exit 1; }
    if PERIGEE_BIN=$copy/build/release/perigee python3 "$top/tests/system/measure_purges.py" \
        chaos --seconds "$seconds" >run.log 2>&1; then
        echo "$name: nobody noticed"
        bad=1
    else
        echo "$name: $(grep -m1 'DOES NOT HOLD' run.log || tail -1 run.log)"
    fi
done
exit $bad
