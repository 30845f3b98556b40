#!/bin/bash
# tests/plant/run.sh - would the purge tests notice? By command.
#
# Each patch beside this file plants one fault of the purge promise. It is applied to a copy of
# the sources, built, and has to be caught: by the walks of tests/purge_sim (first), or by a unit
# test. Without a patch nothing may fail.
#
#   tests/plant/run.sh [SEEDS] [PATCH...]      SEEDS walks at most (400), all patches
#
# Exit: 0 when each was caught, and the sources as they are pass.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
seeds=${1:-400}
shift || true
patches=("$@")
[ ${#patches[@]} -gt 0 ] || patches=("$here"/*.patch)

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cd "$top"
cp -r CMakeLists.txt CMakePresets.json base conf cache cluster geo admin node tests "$copy" 2>/dev/null || true
cd "$copy"
units=(unit_cluster_purge_sync_test unit_cluster_purge_sync_peers_test
    unit_cluster_purge_foreign_test unit_cluster_purge_log_test)
cmake --preset sanitize >/dev/null

build() {
    cmake --build build/sanitize -j "${JOBS:-2}" --target purge_sim "${units[@]}" >build.log 2>&1
}

# Says who noticed; nothing when nobody did. An abort is noticed, too.
caught_by() {
    local first=1 step=20
    while [ "$first" -le "$seeds" ]; do
        if ! timeout 300 build/sanitize/purge_sim walk "$step" "$first" >walk.log 2>&1; then
            echo "walk (of seeds $first to $((first + step - 1)))"
            return
        fi
        first=$((first + step))
    done
    for unit in "${units[@]}"; do
        if ! timeout 120 "build/sanitize/$unit" >unit.log 2>&1; then
            echo "$unit ($(sed -n 's/^\[  FAILED  \] \([a-z_]*\)$/\1/p' unit.log | head -1))"
            return
        fi
    done
}

bad=0
build || { cat build.log; exit 1; }
noticed=$(caught_by)
[ -z "$noticed" ] || { echo "without a fault: $noticed"; exit 1; }
echo "without a fault: passes"
for patch in "${patches[@]}"; do
    name=$(basename "$patch" .patch)
    patch -s -p1 <"$patch"
    if ! build; then
        echo "$name: does not build"
        bad=1
    else
        noticed=$(caught_by)
        echo "$name: ${noticed:-NOT CAUGHT}"
        [ -n "$noticed" ] || bad=1
    fi
    patch -s -R -p1 <"$patch"
done
exit "$bad"
