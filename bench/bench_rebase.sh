#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Measures a rebase on a large disk: makes a master of FILES files, a VM and a patched master with
# about OPERATIONS changes each (through the kernel: needs root for loop mounts), then times the
# index, the delta-bounded diff against the walk, and the whole rebase.
#   bench/bench_rebase.sh [BUILD-DIR] [WORK-DIR]      FILES=200000 OPERATIONS=650 SEED=1
# BUILD-DIR was configured with -DMICA_BENCH=ON. The images in WORK-DIR are kept and used again.
set -euo pipefail

build=$(realpath "${1:-build/release}")
work=${2:-${TMPDIR:-/tmp}/mica-bench-rebase}
files=${FILES:-200000}
operations=${OPERATIONS:-650}
seed=${SEED:-1}
bench=$build/bench/bench_rebase
mica=$build/tools/mica
mnt=$work/mnt

if [ "$(id -u)" != 0 ]; then
  echo "bench_rebase.sh: loop mounts need root" >&2
  exit 1
fi
# Writes everything back, even where another process has copied the mount into its name space.
leave() {
  mount -o remount,ro "$mnt"
  umount "$mnt"
}
mkdir -p "$mnt"
trap 'mountpoint -q "$mnt" && leave' EXIT

if [ ! -e "$work/v1.raw" ]; then
  echo "making a master of $files files ..." >&2
  rm -f "$work"/*.mica
  mke2fs -q -F -t ext4 -E lazy_itable_init=0,lazy_journal_init=0 "$work/making.raw" 10G
  mount -o loop "$work/making.raw" "$mnt"
  "$bench" make-tree "$mnt" "$files" "$seed"
  leave
  mv "$work/making.raw" "$work/v1.raw"
  "$mica" seal -q "$work/v1.raw"
fi
# Parents are named as seen from the working directory.
cd "$work"
number=$seed
for name in vm v2; do
  number=$((number + 1))
  [ -e $name.mica ] && continue
  echo "making $name: $operations operations ..." >&2
  cp --sparse=always v1.raw $name.raw
  # noatime: the generator looks at every directory, and that is none of the changes.
  mount -o loop,noatime $name.raw "$mnt"
  "$bench" change-tree "$mnt" "$operations" "$number"
  leave
  "$mica" convert -q -f raw -O mica -b v1.raw $name.raw $name.mica
  [ $name = vm ] || "$mica" seal -q $name.mica
  rm $name.raw
done

"$bench" measure vm.mica v2.mica
echo
for round in 1 2 3; do
  rm -rf out.mica*
  echo "whole rebase, round $round (without e2fsck):"
  start=$EPOCHREALTIME
  "$mica" rebase vm.mica --onto v2.mica -o out.mica --skip-check --json >report || [ $? = 3 ]
  end=$EPOCHREALTIME
  tail -n 1 report | python3 -c 'import json, sys
for key, value in json.load(sys.stdin)["summary"].items():
    if key.startswith("partition"): print("  " + value)'
  awk "BEGIN { printf \"  %.3f s from start to exit, delta of %d KiB\\n\", $end - $start, $(stat -c %b out.mica) / 2 }"
done
