#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# make_initramfs.sh DIR: DIR/vmlinuz and DIR/initramfs that boot a guest from its first virtio disk.
# The kernel is Debian's for virtual machines, downloaded and unpacked, not installed; the initramfs is
# busybox and six modules.
set -euo pipefail
dir=$1
busybox=$(command -v busybox)

fetch_kernel() {
  local package
  package=$(apt-cache depends --important linux-image-cloud-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
  (cd "$dir" && apt-get -q download "$package" >&2)
  dpkg-deb --extract "$dir/$package"_*.deb "$dir/kernel"
  cp "$dir"/kernel/boot/vmlinuz-* "$dir/vmlinuz"
}

# In the order of their dependencies.
modules=(virtio/virtio_ring virtio/virtio virtio/virtio_pci_legacy_dev virtio/virtio_pci_modern_dev
  virtio/virtio_pci block/virtio_blk)

write_init() {
  local module
  echo '#!/bin/busybox sh'
  echo '/bin/busybox mount -t devtmpfs dev /dev'
  for module in "${modules[@]}"; do
    echo "/bin/busybox insmod /modules/${module##*/}.ko"
  done
  echo '/bin/busybox mount -t ext4 /dev/vda1 /root'
  echo '/bin/busybox mount --move /dev /root/dev'
  echo 'exec /bin/busybox switch_root /root /sbin/init'
}

mkdir -p "$dir/tree"/{bin,dev,root,modules}
fetch_kernel
cp "$busybox" "$dir/tree/bin/busybox"
for module in "${modules[@]}"; do
  cp "$dir"/kernel/lib/modules/*/kernel/drivers/"$module.ko" "$dir/tree/modules/"
done
write_init >"$dir/tree/init"
chmod 755 "$dir/tree/init"
(cd "$dir/tree" && find . | cpio --create --format=newc --quiet | gzip -1) >"$dir/initramfs"
rm -rf "$dir/kernel" "$dir/tree" "$dir"/*.deb
