#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The kernel's ext4 on an export (nbdfuse, loop, mount): a tree is written, read back after a restart of
# the server, changed, trimmed, and e2fsck finds nothing to say.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_programs nbdfuse nbdinfo losetup partx sfdisk e2fsck mkfs.ext4
scratch

uri="nbd+unix:///vm?socket=$dir/socket"

restart() {
  if [[ -n ${server_pid:-} ]]; then
    kill "$server_pid"
    wait "$server_pid" || fail "the server ended with status $?"
  fi
  serve "$dir/socket" vm="$dir/vm.mica"
}

fill() {
  local root=$1 index
  mkdir -p "$root"/{small,large,deleted}
  for index in $(seq 500); do
    seq "$index" $((index * 3)) >"$root/small/$index"
    echo gone >"$root/deleted/$index"
  done
  head -c 40M /dev/urandom >"$root/large/random"
  truncate --size 1G "$root/large/sparse"
  echo end >>"$root/large/sparse"
}

sums() { (cd "$1" && find . -xdev -path ./lost+found -prune -o -type f ! -name sparse -print0 | sort -z | xargs -0 sha256sum); }

make_disk "$dir/master.raw" 512M
"$mica" seal "$dir/master.raw"
"$mica" clone "$dir/master.raw" "$dir/vm.mica"

restart
open_view "$dir/view" "$uri"
fill "$dir/view/mnt"
sums "$dir/view/mnt" >"$dir/written"
close_view "$dir/view"

restart
open_view "$dir/view" "$uri"
sums "$dir/view/mnt" | cmp - "$dir/written"
rm -r "$dir/view/mnt/deleted"
fstrim "$dir/view/mnt"
printf 'in place' | dd of="$dir/view/mnt/large/random" bs=1 seek=12345678 conv=notrunc status=none
mv "$dir/view/mnt/small" "$dir/view/mnt/moved"
sums "$dir/view/mnt" >"$dir/written"
close_view "$dir/view"

restart
open_export "$dir/view" "$uri" --readonly
fsck_partition "$dir/view/nbd/disk"
mount_disk "$dir/view" "$dir/view/nbd/disk" ro
sums "$dir/view/mnt" | cmp - "$dir/written"
close_view "$dir/view"
kill "$server_pid"
wait "$server_pid"
"$mica" check "$dir/vm.mica"
