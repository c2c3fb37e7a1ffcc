#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Makes the disks of the rebase measurements, through the kernel (root, loop mounts): WORK-DIR/v1.raw, a sealed
# master of FILES files, and over it vm-N.mica and the sealed v2-N.mica, each with about N changes.
#   bench/rebase_images.sh BUILD-DIR WORK-DIR FILES N SEED
# BUILD-DIR was configured with -DMICA_BENCH=ON. What is in WORK-DIR already is used again.
set -euo pipefail

[ $# = 5 ] || { sed -n '3,6s/^# //p' "$0" >&2; exit 2; }
build=$1 work=$2 files=$3 operations=$4 seed=$5
bench=$build/bench/bench_rebase
mica=$build/tools/mica
mnt=$work/mnt

if [ "$(id -u)" != 0 ]; then
  echo "rebase_images.sh: loop mounts need root" >&2
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
  image=$name-$operations
  [ -e "$image.mica" ] && continue
  echo "making $image: $operations operations ..." >&2
  cp --sparse=always v1.raw "$image.raw"
  # noatime: the generator looks at every directory, and that is none of the changes.
  mount -o loop,noatime "$image.raw" "$mnt"
  "$bench" change-tree "$mnt" "$operations" "$number"
  leave
  "$mica" convert -q -f raw -O mica -b v1.raw "$image.raw" "$image.mica"
  [ $name = vm ] || "$mica" seal -q "$image.mica"
  rm "$image.raw"
done
