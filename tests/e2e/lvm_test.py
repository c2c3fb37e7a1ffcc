#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Linear logical volumes are volumes like partitions, also in several pieces on two physical volumes. Where they lie is
compared with what the real LVM programs say."""

import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import disk as disks  # noqa: E402
import harness  # noqa: E402
import lvm  # noqa: E402
from disk import MIB  # noqa: E402
from harness import mica, run  # noqa: E402

SCRIPT = """label: gpt
start=1MiB, size=30MiB, type=lvm
start=31MiB, size=1MiB, type=linux
start=32MiB, size=30MiB, type=lvm
"""
ROOT, DATA, SWAP, RAW = "vg-0/root", "vg-0/data.1", "vg-0/swap", "vg-0/raw"


class LogicalVolumes(harness.TestCase):
    def setUp(self):
        super().setUp()
        blank = disks.Disk.make(self.path("v1.raw"), 64 * MIB, SCRIPT)
        disk = lvm.LvmDisk.of(blank, (1, 3))
        new = "lvcreate -q -Zn -Wn -an"
        disk.lvm("pvcreate -q @0 @1", "vgcreate -q -s 1M vg-0 @0 @1",
                 f"{new} -l 6 -n root vg-0 @0", f"{new} -l 12 -n data.1 vg-0 @0", "lvextend -q -l +8 vg-0/root @1",
                 f"{new} -l 2 -n swap vg-0 @1", f"{new} -l 2 -n raw vg-0 @1", "lvextend -q -l +3 vg-0/root @0")
        self.assertEqual(len(disk.volumes[ROOT]), 3)
        for name in (ROOT, DATA):
            with disk.as_file(name) as path:
                run("mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=0", path)
            disk.debugfs_volume(name, f"write {self.file('old')} shared")
        with disk.as_file(SWAP) as path:
            run("mkswap", "-q", path)
        disk.write_volume(RAW, random.Random(3).randbytes(2 * MIB))
        self.start_from(disk)

    def start_from(self, disk):
        self.v1 = disk
        self.v2 = disk.copy(self.path("v2.raw"))
        self.ours = disk.copy(self.path("ours.raw"))

    def file(self, content):
        path = self.path("file-" + content)
        with open(path, "w", encoding="ascii") as file:
            file.write(content)
        return path

    def change_both(self):
        for name in (ROOT, DATA):
            self.v2.debugfs_volume(name, f"write {self.file('patch')} patch")
            self.ours.debugfs_volume(name, f"write {self.file('owner')} own")

    def rebase(self, status=0):
        mica("seal", self.v1.path)
        mica("seal", self.v2.path)
        self.vm = self.path("vm.mica")
        mica("convert", "-f", "raw", "-O", "mica", "-b", self.v1.path, self.ours.path, self.vm)
        return mica("rebase", self.vm, "--onto", self.v2.path, status=status).stderr

    def test_files_of_logical_volumes(self):
        for name in (ROOT, DATA):
            self.assertIn("shared", mica("ls", f"{self.v1.path}:{name}").stdout)
        message = mica("ls", self.v1.path, status=2).stderr
        for name in (ROOT, DATA, SWAP):
            self.assertIn(name, message)

    def test_each_is_rebased(self):
        self.change_both()
        self.ours.write_volume(RAW, self.ours.read_volume(RAW)[:-9] + b"the owner")
        self.ours.write_volume(SWAP, self.ours.read_volume(SWAP)[:-9] + b"swapped!!")
        self.rebase()
        raw = self.path("result.raw")
        mica("convert", "-O", "raw", self.vm, raw)
        result = lvm.LvmDisk(raw, self.v1.partitions, self.v1.physical)
        result.lvm()  # the real programs still find them
        self.assertEqual(result.volumes, self.v1.volumes)
        for name in (ROOT, DATA):
            with result.as_file(name) as path:
                run("e2fsck", "-fn", path)
            listed = set(mica("ls", f"{self.vm}:{name}").stdout.split())
            self.assertEqual(listed, {"lost+found", "shared", "patch", "own"})
        self.assertEqual(result.read_volume(RAW), self.ours.read_volume(RAW))
        self.assertEqual(result.read_volume(SWAP), self.v2.read_volume(SWAP))
        mica("rebase", "--verify", self.vm + ".report.jsonl")

    def test_a_volume_that_the_patch_moved(self):
        """The new master has its volumes elsewhere; they are known by their names."""
        other = disks.Disk.make(self.path("moved.raw"), 64 * MIB, SCRIPT)
        moved = lvm.LvmDisk.of(other, (1, 3))
        new = "lvcreate -q -Zn -Wn -an"
        moved.lvm("pvcreate -q @0 @1", "vgcreate -q -s 1M vg-0 @0 @1", f"{new} -l 12 -n data.1 vg-0 @1",
                  f"{new} -l 2 -n raw vg-0 @0", f"{new} -l 17 -n root vg-0 @0", f"{new} -l 2 -n swap vg-0 @0")
        self.change_both()
        for name in self.v2.volumes:
            moved.write_volume(name, self.v2.read_volume(name))
        self.v2 = moved
        self.ours.write_volume(RAW, self.ours.read_volume(RAW)[:-9] + b"the owner")
        self.rebase()
        for name in (ROOT, DATA):
            listed = set(mica("ls", f"{self.vm}:{name}").stdout.split())
            self.assertEqual(listed, {"lost+found", "shared", "patch", "own"})
        raw = self.path("result.raw")
        mica("convert", "-O", "raw", self.vm, raw)
        result = lvm.LvmDisk(raw, moved.partitions, moved.physical)
        result.volumes = moved.volumes
        self.assertEqual(result.read_volume(RAW), self.ours.read_volume(RAW))

    def test_a_vm_that_changed_its_volumes_is_refused(self):
        self.change_both()
        self.ours.lvm("lvextend -q -l +1 vg-0/root @0")
        message = self.rebase(status=1)
        self.assertIn("logical volumes", message)
        self.assertIn("stays on its master", message)

    def test_what_is_not_linear_is_named(self):
        self.v1.lvm("lvcreate -q -Zn -Wn -an -l 4 -i 2 -n fast vg-0")
        self.start_from(self.v1)
        self.change_both()
        message = self.rebase(status=1)
        self.assertIn("vg-0/fast is striped over 2 disks", message)
        self.assertIn("stays on its master", message)


if __name__ == "__main__":
    lvm.need_lvm()
    harness.main()
