#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The space of a pool over successive patches of its master, in three ways: full clones, each patched by
# itself; qcow2 linked clones, each patched by itself (what a guest writes goes to its overlay); mica, where
# the master is patched once and the VMs are rebased. Every VM has files of its own; a patch replaces files as
# package managers do. MiB of the host. Guests are patched by the kernel, on mounts (needs root). How to read it: README.md.
#   bench/bench_space.sh [BUILD-DIR] [WORK-DIR]   VMS=8 PATCHES=6 DISK=1G TREE=400 PATCH=40 OWN=16 (MiB)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tools/quickstart/disk.sh
. "$here/../tools/quickstart/disk.sh"

build=$(realpath "${1:-build/release}")
work=${2:-${TMPDIR:-/var/tmp}/mica-bench-space}
mica=$build/tools/mica
vms=${VMS:-8}
patches=${PATCHES:-6}
patch_mib=${PATCH:-40}

[[ $(id -u) == 0 ]] || fail "loop mounts need root"
[[ ! -e $work ]] || fail "$work is there; remove it, or name another folder"
mkdir -p "$work"
at_exit rm -rf "$work"
cd "$work"

# change WHAT MIB [NUMBER]: in the guest that is mounted.
change() { /usr/bin/python3 "$here/space_tree.py" "$1" view/mnt "${@:2}"; }

# on_raw FILE CHANGE...: does that in the guest of a raw disk.
on_raw() {
  mount_disk view "$1"
  change "${@:2}"
  close_view view
}

# on_export CHANGE...: the same in what a server exports as vm on ./socket; stops the server.
on_export() {
  open_view view "nbd+unix:///vm?socket=socket"
  change "$@"
  close_view view
  stop_process "$server_pid"
}

on_qcow2() {
  rm -f socket
  qemu-nbd --persistent --format=qcow2 --cache=writeback --socket "$work/socket" --export-name=vm "$1" &
  server_pid=$!
  wait_until 20 server_answers "$work/socket" vm || fail "qemu-nbd does not answer"
  on_export "${@:2}"
}

on_mica() {
  serve "$work/socket" vm="$1"
  on_export "${@:2}"
}

mib_of() {
  local file sum=0
  for file in "$@"; do sum=$((sum + $(allocated_bytes "$file"))); done
  echo $((sum >> 20))
}

echo "$vms VMs on a disk of ${DISK:-1G} with ${TREE:-400} MiB, ${OWN:-16} MiB of their own, patches of $patch_mib MiB"
make_disk v0.raw "${DISK:-1G}"
on_raw v0.raw make "${TREE:-400}"
"$mica" seal -q v0.raw
ln v0.raw linked-master.raw # the linked clones need it for good
for ((vm = 0; vm < vms; vm++)); do
  cp --sparse=always v0.raw "full-$vm.raw"
  on_raw "full-$vm.raw" own "${OWN:-16}" "$vm"
  qemu-img create -q -f qcow2 -b linked-master.raw -F raw "linked-$vm.qcow2"
  on_qcow2 "linked-$vm.qcow2" own "${OWN:-16}" "$vm"
  "$mica" clone -q v0.raw "vm-$vm.mica"
  on_mica "vm-$vm.mica" own "${OWN:-16}" "$vm"
done

row='%5s %12s %14s %10s %10s %10s %16s\n'
# shellcheck disable=SC2059
printf "$row" patch "full clones" "qcow2 linked" mica master deltas "(not confirmed)"
# tell PATCH UNCONFIRMED
tell() {
  # shellcheck disable=SC2059
  printf "$row" "$1" "$(mib_of full-*.raw)" "$(mib_of linked-*)" "$(mib_of "v$1".raw* vm-*)" \
    "$(mib_of "v$1".raw*)" "$(mib_of vm-*)" "$2"
}
tell 0 -
for ((number = 1; number <= patches; number++)); do
  previous=v$((number - 1)).raw next=v$number.raw
  cp --sparse=always "$previous" "$next"
  on_raw "$next" patch "$patch_mib" "$number"
  "$mica" seal -q "$next"
  for ((vm = 0; vm < vms; vm++)); do
    on_raw "full-$vm.raw" patch "$patch_mib" "$number"
    on_qcow2 "linked-$vm.qcow2" patch "$patch_mib" "$number"
  done
  "$mica" rebase -q -j 2 --job job --onto "$next" 'vm-*.mica' >rebase.log || { cat rebase.log; fail "rebase"; }
  rm -rf job
  unconfirmed=$(mib_of "$previous"* "$next"* vm-*)
  "$mica" confirm -q 'vm-?.mica' >confirm.log
  rm -f "$previous"*
  tell "$number" "$unconfirmed"
done
for ((vm = 0; vm < vms; vm++)); do "$mica" check -q "vm-$vm.mica" >/dev/null; done
