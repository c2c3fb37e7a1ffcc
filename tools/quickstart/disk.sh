# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Shell functions around disks: raw images with one partition, mounted views of images and of NBD
# exports, a served socket. Sourced by the quickstart and by the end-to-end tests. Whatever these
# functions open is closed when the script ends, in the reverse order, however it ends.
#
# A view is a directory: VIEW/nbd/disk is the whole disk as a file (through nbdfuse), VIEW/mnt its file
# system. close_view is harmless on a view that is closed or was never opened.

cleanup_commands=()

# at_exit COMMAND ARGUMENT...: run at the end, before what was registered earlier.
at_exit() { cleanup_commands+=("${*@Q}"); }

run_cleanup() {
  local status=$? index
  trap - EXIT INT TERM
  set +e
  for ((index = ${#cleanup_commands[@]} - 1; index >= 0; index--)); do
    eval "${cleanup_commands[index]}"
  done
  exit "$status"
}
trap run_cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
  echo "error: $*" >&2
  exit 1
}

# wait_until SECONDS COMMAND...: polls until the command succeeds.
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [[ $SECONDS -lt $deadline ]] || return 1
    sleep 0.02
  done
}

is_gone() { ! kill -0 "$1" 2>/dev/null; }

# stop_process PID [SIGNAL]: ends a child of this shell and waits for it.
stop_process() {
  kill -s "${2:-TERM}" "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}

# The only partition of a disk, in bytes: "START SIZE".
partition_of() {
  partx --show --noheadings --bytes --output START,SIZE --nr 1 "$1" | awk '{ print $1 * 512, $2 }'
}

# make_disk FILE SIZE: a raw GPT disk with one ext4 partition, in an order that leaves nothing for the
# first mount to initialise (it would all become delta).
make_disk() {
  local file=$1 size=$2 start bytes loop
  rm -f "$file"
  truncate --size "$size" "$file"
  sfdisk --quiet "$file" <<<$'label: gpt\nstart=2048, type=linux'
  read -r start bytes < <(partition_of "$file")
  loop=$(losetup --find --show --offset "$start" --sizelimit "$bytes" "$file")
  mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 "$loop" || { losetup --detach "$loop"; return 1; }
  losetup --detach "$loop"
}

# open_export VIEW URI [--readonly]: the export as the file VIEW/nbd/disk.
open_export() {
  local view=$1 uri=$2
  mkdir -p "$view/nbd"
  at_exit close_view "$view"
  nbdfuse ${3:+"$3"} "$view/nbd/disk" "$uri" &
  echo $! >"$view/fuse.pid"
  wait_until 20 test -e "$view/nbd/disk" || fail "nbdfuse shows nothing of $uri"
}

# mount_disk VIEW FILE [MODE]: mounts the partition of a disk file at VIEW/mnt; MODE is ro or other mount options.
mount_disk() {
  local view=$1 file=$2 mode=${3:-rw} start bytes loop
  mkdir -p "$view/mnt"
  at_exit close_view "$view"
  read -r start bytes < <(partition_of "$file")
  local readonly=()
  # A clean read-only view must not be written to, not even by a journal replay.
  [[ $mode == ro ]] && readonly=(--read-only)
  loop=$(losetup --find --show --offset "$start" --sizelimit "$bytes" "${readonly[@]}" "$file")
  echo "$loop" >"$view/loop"
  mount --types ext4 --options "$mode" "$loop" "$view/mnt"
}

# open_view VIEW URI [ro]: open_export and mount_disk in one.
open_view() {
  open_export "$1" "$2" ${3:+--readonly}
  mount_disk "$1" "$1/nbd/disk" "${3:-rw}"
}

loop_is_free() { ! losetup "$1" >/dev/null 2>&1; }

close_view() {
  local view=$1 loop pid
  if mountpoint --quiet "$view/mnt"; then
    wait_until 10 umount --recursive "$view/mnt" || echo "cannot unmount $view/mnt" >&2
  fi
  if [[ -e $view/loop ]]; then
    loop=$(<"$view/loop")
    losetup --detach "$loop" 2>/dev/null || true
    # Until then the file system may be mounted in a mount namespace that some process just made, and what
    # is in the file is not all that was written.
    wait_until 120 loop_is_free "$loop" || fail "$loop stays attached"
    rm -f "$view/loop"
  fi
  if [[ -e $view/fuse.pid ]]; then
    pid=$(<"$view/fuse.pid")
    wait_until 10 fusermount3 -u "$view/nbd" || kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    rm -f "$view/fuse.pid"
  fi
  return 0
}

# fsck_partition DISK_FILE: e2fsck's verdict on a disk's partition, nothing repaired; its exit status.
fsck_partition() {
  local start bytes
  read -r start bytes < <(partition_of "$1")
  e2fsck -fn "$1?offset=$start" 2>&1
}

# serve SOCKET [NAME=]FILE...: one mica server; sets server_pid. ${mica} is the program.
serve() {
  local socket=$1 first=${2%%=*}
  shift
  rm -f "$socket"
  "${mica:?}" serve --quiet --socket "$socket" "$@" >/dev/null &
  server_pid=$!
  at_exit stop_process "$server_pid"
  wait_until 20 server_answers "$socket" "$first" || fail "the server does not answer on $socket"
}

server_answers() {
  is_gone "$server_pid" && fail "the server ended at once"
  [[ -S $1 ]] && nbdinfo --size "nbd+unix:///$2?socket=$1" >/dev/null 2>&1
}

# in_root ROOT COMMAND...: runs in a chroot; whatever it leaves running is ended. No mount namespace of its
# own: one would keep every other mount of the machine busy for as long as the command runs.
in_root() {
  local root=$1 status=0
  shift
  mount --types proc proc "$root/proc"
  unshare --pid --fork --kill-child \
    chroot "$root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
    LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive ${http_proxy:+"http_proxy=$http_proxy"} "$@" || status=$?
  umount "$root/proc"
  return "$status"
}

# sha256_of FILE: of all of it, holes too; python's is four times as fast as sha256sum here.
sha256_of() {
  python3 -c 'import hashlib, sys
with open(sys.argv[1], "rb") as file:
    print(hashlib.file_digest(file, "sha256").hexdigest())' "$1"
}

allocated_bytes() { echo $(($(stat --format '%b' "$1") * 512)); }
