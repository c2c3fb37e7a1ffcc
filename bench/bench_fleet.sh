#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Measures a job over a pool: COUNT copies of the VM that bench_rebase.sh makes (FILES files,
# OPERATIONS changes on each side), rebased by one job with WORKERS workers. Run bench_rebase.sh
# first with the same FILES, OPERATIONS and WORK-DIR.
#   bench/bench_fleet.sh [BUILD-DIR] [WORK-DIR]      COUNT=50 WORKERS=2 OPERATIONS=650
set -euo pipefail

build=$(realpath "${1:-build/release}")
work=${2:-${TMPDIR:-/tmp}/mica-bench-rebase}
count=${COUNT:-50}
workers=${WORKERS:-2}
vm=vm-${OPERATIONS:-650}.mica
onto=v2-${OPERATIONS:-650}.mica
mica=$build/tools/mica

if [ ! -e "$work/$vm" ] || [ ! -e "$work/$onto" ]; then
  echo "bench_fleet.sh: no images in $work; run bench_rebase.sh first" >&2
  exit 1
fi
cd "$work"
rm -rf pool.job fleet-*.mica*
# A delta names its parent from its own folder: the copies stand beside the original.
for ((number = 0; number < count; number++)); do
  cp --sparse=always "$vm" "fleet-$number.mica"
done
TIMEFORMAT='%R %U %S'
times=$({ time "$mica" rebase -q -j "$workers" --job pool.job --onto "$onto" 'fleet-*.mica' >&2 || [ $? = 3 ]; } \
  2>&1 | tee /dev/stderr | tail -n 1)
awk -v count="$count" -v workers="$workers" '{
  printf "%d VMs, %d workers: %.1f s, %.2f s of processor a VM, %.0f VMs an hour here, ", count, workers, $1, ($2 + $3) / count, 3600 * count / $1
  printf "%.0f an hour on two processors of our own\n", 2 * 3600 * count / ($2 + $3)
}' <<<"$times"
rm -rf pool.job fleet-*.mica*
