#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# The init of the guest of kernel_nbd_test.py: attaches the export "vm" of the server at the host's port $port
# (from the kernel's command line) with nbd.ko and uses it as a disk. What it finds goes to the console, a line each
# that begins with CHECK.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
/bin/busybox --install -s /bin
port=${port:?}
disk=/dev/nbd0
half_bytes=$((16 << 20)) # the first half is the file system, the second is used raw

say() {
  echo "CHECK $*"
}

# must NAME COMMAND...: the command, and the end of everything when it fails.
must() {
  name=$1
  shift
  if "$@" >/tmp/output 2>&1; then
    say "passed $name"
  else
    say "failed $name: $* ($?): $(tail -n 5 /tmp/output | tr '\n' ' ')"
    poweroff -f
  fi
}

sum() {
  dd bs=1M status=none | sha256sum | cut -d ' ' -f 1
}

forget_cache() {
  sync
  echo 3 >/proc/sys/vm/drop_caches
  blockdev --flushbufs "$disk"
}

attach() {
  mount -t proc proc /proc
  mount -t sysfs sys /sys
  mount -t tmpfs tmp /tmp
  ip link set lo up
  ip link set eth0 up
  ip address add 10.0.2.15/24 dev eth0
  must attach nbd-client 10.0.2.2 "$port" -N vm -C 4 "$disk"
  say "size $(($(cat /sys/block/nbd0/size) * 512))"
  say "discard $(cat /sys/block/nbd0/queue/discard_max_bytes)"
}

# Four writers at once, then everything through the page cache and past it.
use_files() {
  must mkfs mkfs.ext4 -q -b 4096 "$disk" $((half_bytes / 4096))
  must mount mount -t ext4 -o discard "$disk" /mnt
  for file in 1 2 3 4; do
    dd if=/dev/urandom of="/mnt/file$file" bs=64k count=32 status=none &
  done
  wait
  must fsync dd if=/dev/urandom of=/mnt/synced bs=4k count=64 conv=fsync
  sync
  for file in 1 2 3 4; do
    say "written file$file $(sum <"/mnt/file$file")"
  done
  forget_cache
  for file in 1 2 3 4; do
    say "read file$file $(sum <"/mnt/file$file")"
  done
  rm /mnt/file2
  must trim fstrim /mnt
  must unmount umount /mnt
  must fsck e2fsck -f -n "$disk"
}

# busybox has a blkdiscard of its own, without -z.
use_second_half() {
  must fill dd if=/dev/urandom of="$disk" bs=1M seek=16 count=16 conv=fsync
  must discard /usr/sbin/blkdiscard -f -o $half_bytes -l $((half_bytes / 2)) "$disk"
  must zero /usr/sbin/blkdiscard -f -z -o $((half_bytes * 3 / 2)) -l $((half_bytes / 4)) "$disk"
  forget_cache
  say "zeroes $(dd if="$disk" bs=1M skip=24 count=4 status=none | sum)"
  say "kept $(dd if="$disk" bs=1M skip=28 count=4 status=none | sum)"
}

detach() {
  sync
  must detach nbd-client -d "$disk"
  say end
  poweroff -f
}

attach
use_files
use_second_half
detach
