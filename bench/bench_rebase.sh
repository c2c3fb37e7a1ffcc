#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Measures a rebase on a large disk: a master of FILES files, a VM and a patched master with about
# OPERATIONS changes each (see rebase_images.sh; needs root for loop mounts). Times the index, the
# delta-bounded diff against the walk, and the whole rebase.
#   bench/bench_rebase.sh [BUILD-DIR] [WORK-DIR]      FILES=200000 OPERATIONS=650 SEED=1
# BUILD-DIR was configured with -DMICA_BENCH=ON. The images in WORK-DIR are kept and used again.
set -euo pipefail

build=$(realpath "${1:-build/release}")
work=${2:-${TMPDIR:-/tmp}/mica-bench-rebase}
operations=${OPERATIONS:-650}
mica=$build/tools/mica

"$(dirname "$0")/rebase_images.sh" "$build" "$work" "${FILES:-200000}" "$operations" "${SEED:-1}"
cd "$work"
"$build/bench/bench_rebase" measure "vm-$operations.mica" "v2-$operations.mica"
echo
for round in 1 2 3; do
  rm -rf out.mica*
  echo "whole rebase, round $round (without e2fsck):"
  start=$EPOCHREALTIME
  "$mica" rebase "vm-$operations.mica" --onto "v2-$operations.mica" -o out.mica --skip-check --json >report ||
    [ $? = 3 ]
  end=$EPOCHREALTIME
  tail -n 1 report | python3 -c 'import json, sys
for key, value in json.load(sys.stdin)["summary"].items():
    if key.startswith("partition"): print("  " + value)'
  awk "BEGIN { printf \"  %.3f s from start to exit, delta of %d KiB\\n\", $end - $start, $(stat -c %b out.mica) / 2 }"
done
