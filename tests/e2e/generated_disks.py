# SPDX-License-Identifier: Apache-2.0
"""The kinds of disks that generated rebases are of: how each is made, mounted, checked and rebased."""

import functools
import tempfile

import harness
from harness import run
from mounts import PARTITION_OFFSET

DISK_BYTES = 48 << 20


@functools.cache
def partition_table():
    """The first and the last MiB of a disk with one partition; sfdisk flushes, which takes longer than it."""
    with tempfile.NamedTemporaryFile(prefix="mica-table-") as file:
        file.truncate(DISK_BYTES)
        run("sfdisk", "--quiet", file.name, input="label: gpt\nstart=2048, type=linux\n")
        content = file.read()
    return content[:PARTITION_OFFSET], content[-PARTITION_OFFSET:]


class Ext4:
    """In a partition."""

    name = "ext4"
    offset, mount_options, rebase_options = PARTITION_OFFSET, (), ()
    # For disks in plain files, which need not survive a power cut. Flushes of a VM go through mica.
    unflushed = ("nobarrier",)
    programs = ("mkfs.ext4", "e2fsck", "sfdisk")

    @staticmethod
    def make(path, variant):
        first, last = partition_table()
        with open(path, "wb") as file:
            file.write(first)
            file.seek(DISK_BYTES - len(last))
            file.write(last)
        kilobytes = (DISK_BYTES - 2 * PARTITION_OFFSET) // 1024
        run("mkfs.ext4", "-q", "-F", *variant, "-E",
            f"offset={PARTITION_OFFSET},lazy_itable_init=0,lazy_journal_init=0", path, f"{kilobytes}k")

    @staticmethod
    def check(path):
        return "e2fsck", "-fn", f"{path}?offset={PARTITION_OFFSET}"


class Xfs:
    """The whole disk."""

    name = "xfs"
    offset, mount_options, rebase_options = 0, ("nouuid",), ("--mount-volumes", "xfs")
    unflushed = ()
    programs = ("mkfs.xfs", "xfs_repair")

    @staticmethod
    def make(path, _):
        run("mkfs.xfs", "-q", harness.make_raw(path, 300 << 20))

    @staticmethod
    def check(path):
        return "xfs_repair", "-n", path


class Btrfs:
    """The whole disk."""

    name = "btrfs"
    offset, mount_options, rebase_options = 0, (), ("--mount-volumes", "btrfs")
    unflushed = ("nobarrier",)
    programs = ("mkfs.btrfs", "btrfs")

    @staticmethod
    def make(path, _):
        run("mkfs.btrfs", "-q", harness.make_raw(path, 128 << 20))

    @staticmethod
    def check(path):
        return "btrfs", "check", "--readonly", path


FILE_SYSTEMS = {kind.name: kind for kind in (Ext4, Xfs, Btrfs)}
