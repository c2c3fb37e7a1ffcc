#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""pairs_master.py MASTER DIR: the golden disk of the Debian pairs, DIR/v1.raw, from the quickstart's MASTER.

A server at the release's own package versions: services, interpreters, and a kernel with an initramfs of its
own. It is made once; every pair copies it.
"""

import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "support"), os.path.join(HERE, "..", "..", "tools", "quickstart")]
import debian  # noqa: E402
import harness  # noqa: E402
import tree  # noqa: E402
from harness import mica  # noqa: E402
from mounts import Mounted, copy_disk  # noqa: E402

PACKAGES = ("linux-image-cloud-amd64", "initramfs-tools", "openssh-server", "nginx-light", "python3", "perl", "curl",
            "openssl", "sudo", "cron", "dbus", "rsyslog", "ca-certificates")


def furnish(guest):
    """Returns why it cannot be done; empty when it is."""
    # An initramfs for the guests that boot here; with everything in it, it takes minutes on all three disks.
    guest.write("/etc/initramfs-tools/conf.d/small", "MODULES=list\nCOMPRESS=gzip\n")
    guest.write("/usr/share/initramfs-tools/modules.d/disk", "virtio_pci\nvirtio_blk\next4\n")
    guest.write("/etc/apt/apt.conf.d/91lean", 'Acquire::Languages "none";\n')
    try:
        guest.use_archives(*debian.main_archive())
    except AssertionError as error:
        return f"the package archive does not answer: {error}"
    guest.install(*PACKAGES)
    return ""


def main():
    master, directory = sys.argv[1:]
    harness.need_root("loop devices and mounts")
    if not os.path.exists(master):
        harness.skip(f"the quickstart left no {master}")
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    disk = os.path.join(directory, "v1.raw")
    copy_disk(master, disk)
    with Mounted(disk, "nobarrier") as root:
        missing = furnish(debian.Guest(root, os.path.join(directory, "v1.log")))
    if missing:
        harness.skip(missing)
    with Mounted(disk, "ro") as root:
        tree.save(tree.scan(root), os.path.join(directory, "v1.tree"))
    mica("seal", disk)


if __name__ == "__main__":
    main()
