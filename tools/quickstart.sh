#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# mica's whole story on a real Debian disk: a sealed master, three clones, one of them changed through a
# real kernel, a patched master, what the usual tool does with that, and what mica does.
#
#   tools/quickstart.sh [--dir DIR] [--keep] [--clean] [--mica PROGRAM]
#
#   --dir DIR       where the disks go (default /var/tmp/mica-quickstart; 4 GiB are used); what an
#                   earlier run left there is replaced
#   --keep          leave the server running at the end, so that the printed attach lines work at once
#   --clean         remove the disks at the end
#   --mica PROGRAM  use this program instead of installing packages and building
#
# Debian 12; root or sudo (loop devices, mounts, chroot); the package mirrors that apt here is set up for.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tools/quickstart/disk.sh
. "$here/quickstart/disk.sh"
# shellcheck source=tools/quickstart/debian.sh
. "$here/quickstart/debian.sh"
# shellcheck source=tools/quickstart/changes.sh
. "$here/quickstart/changes.sh"
# shellcheck source=tools/quickstart/table.sh
. "$here/quickstart/table.sh"

dir=/var/tmp/mica-quickstart keep=no clean=no mica='' build_dir="$here/../build/release"
# While a master is made: what dpkg flushes need not survive a power cut, the image is flushed when it is sealed.
readonly fast=rw,nobarrier

parse_arguments() {
  while [[ $# -gt 0 ]]; do
    case $1 in
      --dir) dir=${2:?--dir needs a directory}; shift 2 ;;
      --mica) mica=$(realpath "${2:?--mica needs a program}"); shift 2 ;;
      --keep) keep=yes; shift ;;
      --clean) clean=yes; shift ;;
      -h | --help) sed -n '3,15s/^# \{0,1\}//p' "$0"; exit 0 ;;
      *) echo "quickstart.sh: unknown argument '$1' (see --help)" >&2; exit 2 ;;
    esac
  done
  [[ $dir =~ ^[A-Za-z0-9/._-]+$ ]] || fail "--dir: '$dir' has characters that a URI would need quoted"
}

install_and_build() {
  step packages
  "$here/packages.sh" build run
  done_step "" "$("$here/packages.sh" --list build run | wc -l) Debian packages present"

  step "build release"
  (cd "$here/.." && cmake --preset release -DMICA_TESTS=OFF >/dev/null)
  cmake --build "$build_dir"
  mica=$(realpath "$build_dir/tools/mica")
  done_step "$(stat --format %s "$mica")" "$mica"
}

# The rest needs root; building does not.
become_root() {
  [[ $(id -u) == 0 ]] && return
  command -v sudo >/dev/null || fail "loop devices and mounts need root; there is no sudo here"
  local arguments=(--dir "$dir" --mica "$mica")
  [[ $keep == yes ]] && arguments+=(--keep)
  [[ $clean == yes ]] && arguments+=(--clean)
  exec sudo "$0" "${arguments[@]}"
}

uri_of() { echo "nbd+unix:///$1?socket=$socket"; }

# Ends the server that an earlier run with --keep left, if the process is still that one.
end_kept_server() {
  local pid
  [[ -e $dir/server.pid ]] || return 0
  pid=$(<"$dir/server.pid")
  if [[ $(tr '\0' ' ' <"/proc/$pid/cmdline") == *" serve --socket $socket "* ]] 2>/dev/null; then
    kill "$pid"
    wait_until 10 is_gone "$pid" || fail "the server of an earlier run, process $pid, does not end"
  fi
}

prepare_directory() {
  mkdir -p "$dir"
  dir=$(realpath "$dir")
  socket=$dir/mica.sock
  [[ ${#socket} -lt 100 ]] || fail "--dir: $dir is too long for the path of a unix socket"
  exec 9>"$dir/.lock"
  flock --nonblock 9 || fail "another run uses $dir; give this one another --dir"
  end_kept_server
  close_view "$dir/view"  # an earlier run may have been killed
  rm -rf "$dir"/{*.raw*,*.mica*,*.qcow2,*.tree,*.log,*.pid,*.jsonl,before,after,view,mica.sock}
}

make_master() {
  step "make master v1"
  make_disk "$dir/master-v1.raw" 2G
  mount_disk "$dir/view" "$dir/master-v1.raw" "$fast"
  debian_root "$dir/view/mnt" "$master_packages" >"$dir/debootstrap.log"
  furnish_master "$dir/view/mnt" >>"$dir/debootstrap.log"
  local packages
  packages=$(packages_in "$dir/view/mnt" | wc -l)
  close_view "$dir/view"
  done_step "$(allocated_bytes "$dir/master-v1.raw")" "Debian $(debian_codename), $packages packages, ext4 in GPT"

  step "seal it"
  "$mica" seal "$dir/master-v1.raw"
  done_step "" "$("$mica" info "$dir/master-v1.raw" | grep -i -m1 digest | xargs)"

  step "clone three machines"
  "$mica" clone "$dir/master-v1.raw" "$dir"/vm{1,2,3}.mica
  done_step "$(allocated_bytes "$dir/vm1.mica")" "three deltas, this many bytes each"
}

packages_in() {
  dpkg-query --admindir="$1/var/lib/dpkg" --show --showformat '${Package} ${Version}\n'
}

serve_clones() {
  serve "$socket" vm1="$dir/vm1.mica" vm2="$dir/vm2.mica" vm3="$dir/vm3.mica"
}

stop_server() {
  kill "$server_pid"
  wait "$server_pid" || fail "the server ended with status $?"
}

# record NAME URI|FILE: remembers every path of a disk's file system in NAME.tree.
record() {
  if [[ $2 == nbd* ]]; then open_view "$dir/view" "$2" ro; else mount_disk "$dir/view" "$2" ro; fi
  "$here/quickstart/tree.py" scan "$dir/view/mnt" "$dir/$1.tree"
  close_view "$dir/view"
}

change_clone() {
  step "work in vm1"
  serve_clones
  open_view "$dir/view" "$(uri_of vm1)"
  work_as_owner "$dir/view/mnt" >"$dir/owner.log" 2>&1 || fail "see $dir/owner.log"
  close_view "$dir/view"
  done_step "$(allocated_bytes "$dir/vm1.mica")" "${owner_packages[*]}; user alice; files of every kind"

  step "record vm1"
  record base "$dir/master-v1.raw"
  record ours "$(uri_of vm1)"
  nbdcopy "$(uri_of vm1)" "$dir/vm1-before.raw"
  digest_before=$(sha256_of "$dir/vm1-before.raw")
  stop_server
  done_step "" "$(wc -l <"$dir/ours.tree") paths, disk sha256 ${digest_before:0:16}"
}

patch_master() {
  step "make master v2"
  "$mica" convert -O raw "$dir/master-v1.raw" "$dir/master-v2.raw"
  mount_disk "$dir/view" "$dir/master-v2.raw" "$fast"
  packages_in "$dir/view/mnt" >"$dir/packages-v1.log"
  patch_as_administrator "$dir/view/mnt" >"$dir/patch.log" 2>&1 || fail "see $dir/patch.log"
  packages_in "$dir/view/mnt" >"$dir/packages-v2.log"
  close_view "$dir/view"
  "$mica" seal "$dir/master-v2.raw"
  record theirs "$dir/master-v2.raw"
  local changed
  changed=$(comm -13 <(sort "$dir/packages-v1.log") <(sort "$dir/packages-v2.log") | wc -l)
  done_step "$(allocated_bytes "$dir/master-v2.raw")" "$changed packages new or upgraded, /etc edited, a file removed"
}

# Opens an image of qemu's as VIEW/nbd/disk.
open_with_qemu() {
  local view=$1 image=$2
  rm -f "$dir/qemu.sock"
  qemu-nbd --format=qcow2 --read-only --persistent --socket="$dir/qemu.sock" --export-name=disk "$image" &
  qemu_pid=$!
  at_exit stop_process "$qemu_pid"
  wait_until 20 test -S "$dir/qemu.sock" || fail "qemu-nbd does not start"
  open_export "$view" "nbd+unix:///disk?socket=$dir/qemu.sock" --readonly
}

close_with_qemu() {
  close_view "$1"
  stop_process "$qemu_pid"
}

show_classic_problem() {
  step "the same delta as qcow2"
  qemu-img create -q -f qcow2 -b "$dir/master-v1.raw" -F raw "$dir/unsafe.qcow2"
  "$here/quickstart/copy_delta.py" "$dir/master-v1.raw" "$dir/vm1-before.raw" "$dir/unsafe.qcow2"
  qemu-img compare -q -f qcow2 -F raw "$dir/unsafe.qcow2" "$dir/vm1-before.raw"
  cp "$dir/unsafe.qcow2" "$dir/safe.qcow2"
  rm "$dir/vm1-before.raw"
  done_step "$(allocated_bytes "$dir/unsafe.qcow2")" "the same disk, says qemu-img compare"

  step "qemu-img rebase -u"
  qemu-img rebase -u -b "$dir/master-v2.raw" -F raw "$dir/unsafe.qcow2"
  open_with_qemu "$dir/view" "$dir/unsafe.qcow2"
  local status=0 lines
  fsck_partition "$dir/view/nbd/disk" >"$dir/fsck-unsafe.log" || status=$?
  close_with_qemu "$dir/view"
  lines=$(wc -l <"$dir/fsck-unsafe.log")
  sed -n '1,6{s/^/    e2fsck: /;p}' "$dir/fsck-unsafe.log"
  [[ $status != 0 ]] || fail "a delta of v1 over v2 should not be clean"
  done_step "$(allocated_bytes "$dir/unsafe.qcow2")" "DAMAGED: e2fsck status $status, $lines lines of damage"

  step "qemu-img rebase (safe)"
  qemu-img rebase -b "$dir/master-v2.raw" -F raw "$dir/safe.qcow2"
  open_with_qemu "$dir/view" "$dir/safe.qcow2"
  mount_disk "$dir/view" "$dir/view/nbd/disk" ro
  local missing
  missing=$(comm -13 <(packages_in "$dir/view/mnt" | sort) \
    <(comm -13 <(sort "$dir/packages-v1.log") <(sort "$dir/packages-v2.log")) | wc -l)
  close_with_qemu "$dir/view"
  done_step "$(allocated_bytes "$dir/safe.qcow2")" "NO PATCH: $missing packages of v2 are missing"
  rm "$dir"/{safe,unsafe}.qcow2
}

# conflicts_allowed COMMAND...: exit status 3 says that the result is valid and a person should read the report.
conflicts_allowed() {
  local status=0
  "$@" || status=$?
  [[ $status == 0 || $status == 3 ]] || fail "exit status $status: $*"
}

rebase_clone() {
  step "mica fit"
  conflicts_allowed "$mica" fit "$dir/vm1.mica" --onto "$dir/master-v2.raw" >"$dir/fit.log"
  sed 's/^/    /' "$dir/fit.log" | head -n 20
  done_step "" "what would happen; nothing written"

  step "mica rebase"
  conflicts_allowed "$mica" rebase "$dir/vm1.mica" --onto "$dir/master-v2.raw" --report "$dir/report.jsonl" \
    >"$dir/rebase.log"
  sed 's/^/    /' "$dir/rebase.log" | head -n 20
  done_step "$(allocated_bytes "$dir/vm1.mica")" "$(grep -m1 ' info$' "$dir/rebase.log" | xargs)"
}

prove_clean() {
  step "proof: e2fsck"
  serve_clones
  open_export "$dir/after" "$(uri_of vm1)" --readonly
  fsck_partition "$dir/after/nbd/disk" >"$dir/fsck-rebased.log" || fail "e2fsck: see $dir/fsck-rebased.log"
  close_view "$dir/after"
  done_step "" "clean: $(tail -n 1 "$dir/fsck-rebased.log" | cut -d: -f2- | xargs)"
}

prove_files() {
  step "proof: every file"
  record result "$(uri_of vm1)"
  local verdict
  verdict=$("$here/quickstart/tree.py" judge "$dir"/{base,ours,theirs,result}.tree "$dir/report.jsonl") ||
    fail "$verdict"
  done_step "" "$verdict"
}

# prove_packages runs in a scratch clone of the rebased machine's content: trying programs writes files.
prove_packages() {
  step "proof: packages"
  local root=$dir/view/mnt audit program
  nbdcopy "$(uri_of vm1)" "$dir/scratch.raw"
  mount_disk "$dir/view" "$dir/scratch.raw"
  audit=$(in_root "$root" dpkg --audit)
  [[ -z $audit ]] || fail "dpkg --audit says: $audit"
  in_root "$root" apt-get -q check >/dev/null || fail "apt-get check finds broken dependencies"
  for program in 'ssh -V' 'sshd -V' 'vi --version' 'less --version' 'nano --version' 'rsyslogd -v' \
    'dbus-daemon --version' 'site-tools'; do
    # shellcheck disable=SC2086  # words
    in_root "$root" $program >>"$dir/programs.log" 2>&1 || [[ $program == 'sshd -V' ]] ||
      fail "'$program' does not run: see $dir/programs.log"
  done
  comm -13 <(packages_in "$root" | sort) <(sort "$dir/packages-v2.log") >"$dir/missing.log"
  [[ ! -s $dir/missing.log ]] || fail "packages of v2 are missing: $(<"$dir/missing.log")"
  for program in "${owner_packages[@]}"; do
    packages_in "$root" | grep -q "^$program " || fail "the owner's package $program is missing"
  done
  close_view "$dir/view"
  rm "$dir/scratch.raw"
  stop_server
  done_step "" "dpkg --audit silent, apt-get check clean, programs of both sides run"
}

roll_back() {
  step "mica rollback"
  cp "$dir/vm1.mica" "$dir/vm1-rebased.mica"
  "$mica" rollback "$dir/vm1.mica"
  serve_clones
  nbdcopy "$(uri_of vm1)" "$dir/vm1-back.raw"
  local digest
  digest=$(sha256_of "$dir/vm1-back.raw")
  [[ $digest == "$digest_before" ]] || fail "the old content did not come back: $digest"
  rm "$dir/vm1-back.raw" "$dir/vm1-rebased.mica"
  stop_server
  done_step "$(allocated_bytes "$dir/vm1.mica")" "old disk bit for bit: sha256 ${digest:0:16}"

  step "mica rebase again"
  conflicts_allowed "$mica" rebase "$dir/vm1.mica" --onto "$dir/master-v2.raw" --report "$dir/report.jsonl" \
    >"$dir/rebase.log"
  done_step "$(allocated_bytes "$dir/vm1.mica")" "vm1 is on v2, vm2 and vm3 still on v1"
}

what_next() {
  cat <<TEXT

What to try next
  read the report          less $dir/report.jsonl
  look into the disk       $mica ls $dir/vm1.mica:1 /home/alice
  what vm1 changed         $mica diff $dir/master-v2.raw $dir/vm1.mica
  serve the clones         $mica serve --socket $socket vm1=$dir/vm1.mica vm2=$dir/vm2.mica vm3=$dir/vm3.mica
  and then attach one:
    QEMU                   qemu-system-x86_64 -m 1024 -drive 'file=$(uri_of vm1),format=raw,if=virtio' ...
    nbd-client             nbd-client -unix $socket -N vm1 /dev/nbd0
    as a file              mkdir -p /tmp/vm1 && nbdfuse /tmp/vm1/disk '$(uri_of vm1)'
    anything else          nbdinfo '$(uri_of vm1)'
TEXT
}

finish() {
  print_table
  if [[ $clean == yes ]]; then
    rm -rf "$dir"
    return
  fi
  what_next
  if [[ $keep == yes ]]; then
    setsid "$mica" serve --socket "$socket" vm1="$dir/vm1.mica" vm2="$dir/vm2.mica" vm3="$dir/vm3.mica" \
      >"$dir/server.log" 2>&1 </dev/null 9>&- &
    server_pid=$!
    echo "$server_pid" >"$dir/server.pid"
    wait_until 20 server_answers "$socket" vm1 || fail "the server does not start: see $dir/server.log"
    echo "The server runs (process $server_pid); it ends with: kill $server_pid"
  fi
}

main() {
  parse_arguments "$@"
  [[ -n $mica ]] || install_and_build
  become_root
  prepare_directory
  make_master
  change_clone
  patch_master
  show_classic_problem
  rebase_clone
  prove_clean
  prove_files
  prove_packages
  roll_back
  finish
}

main "$@"
