#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# make_initramfs.sh DIR                                      boots a guest from its first virtio disk
# make_initramfs.sh DIR INIT MODULE... [-- PROGRAM...]       runs the script INIT in a guest
#
# Makes DIR/vmlinuz and DIR/initramfs. The kernel is Debian's for virtual machines, downloaded and unpacked, not
# installed; the initramfs is busybox, virtio, and what is named: kernel modules by their paths below drivers/ (or
# below the kernel's folder, with a leading /), in the order of their dependencies; programs of this machine with
# their libraries.
set -euo pipefail
dir=$1
init=${2:-}
busybox=$(command -v busybox)

# In the order of their dependencies.
modules=(virtio/virtio_ring virtio/virtio virtio/virtio_pci_legacy_dev virtio/virtio_pci_modern_dev
  virtio/virtio_pci)
programs=()

fetch_kernel() {
  local package
  package=$(apt-cache depends --important linux-image-cloud-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
  (cd "$dir" && apt-get -q download "$package" >&2)
  dpkg-deb --extract "$dir/$package"_*.deb "$dir/kernel"
  cp "$dir"/kernel/boot/vmlinuz-* "$dir/vmlinuz"
}

# PROGRAM and the libraries it is linked with, at their own places.
copy_program() {
  local program file
  program=$(command -v "$1")
  for file in "$program" $(ldd "$program" | grep -o '/[^ ]*'); do
    install -D "$file" "$dir/tree$file"
  done
}

write_init() {
  local module
  echo '#!/bin/busybox sh'
  echo '/bin/busybox mount -t devtmpfs dev /dev'
  for module in "${modules[@]}"; do
    echo "/bin/busybox insmod /modules/${module##*/}.ko"
  done
  if [[ -n $init ]]; then
    echo 'exec /bin/busybox sh /run-this'
  else
    echo '/bin/busybox mount -t ext4 /dev/vda1 /root'
    echo '/bin/busybox mount --move /dev /root/dev'
    echo 'exec /bin/busybox switch_root /root /sbin/init'
  fi
}

mkdir -p "$dir/tree"/{bin,dev,mnt,modules,proc,root,sys,tmp}
if [[ -n $init ]]; then
  cp "$init" "$dir/tree/run-this"
  shift 2
  while [[ $# -gt 0 && $1 != -- ]]; do
    modules+=("$1")
    shift
  done
  programs=("${@:2}")
else
  modules+=(block/virtio_blk)
fi
fetch_kernel
cp "$busybox" "$dir/tree/bin/busybox"
for module in "${modules[@]}"; do
  path=drivers/$module
  [[ $module == /* ]] && path=${module#/}
  cp "$dir"/kernel/lib/modules/*/kernel/"$path.ko" "$dir/tree/modules/"
done
for program in ${programs[@]+"${programs[@]}"}; do
  copy_program "$program"
done
write_init >"$dir/tree/init"
chmod 755 "$dir/tree/init"
(cd "$dir/tree" && find . | cpio --create --format=newc --quiet | gzip -1) >"$dir/initramfs"
rm -rf "$dir/kernel" "$dir/tree" "$dir"/*.deb
