#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`mica confirm` and `rebase --keep-days`: what rebases kept goes when it is told to, and nothing else does."""

import fcntl
import json
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import harness  # noqa: E402
import pool  # noqa: E402
from harness import Server, mica  # noqa: E402


class Confirm(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.pool = pool.Pool(self.directory)
        self.vm = self.pool.delta("vm.mica", *self.pool.owner_commands(0, 1))
        self.kept = self.vm + ".before-1"

    def rebase(self, *arguments, vm=None, status=3):
        return mica("rebase", *arguments, vm or self.vm, "--onto", self.pool.v2, status=status)

    def confirm(self, *arguments, status=0):
        """The record of the one VM, and the summary."""
        lines = mica("confirm", "--json", *arguments, status=status).stdout.splitlines()
        return json.loads(lines[0]), json.loads(lines[-1])["summary"]

    def names(self):
        return sorted(name for name in os.listdir(self.pool.vms) if "before" in name or "undone" in name)

    def test_removes_what_is_kept_and_nothing_else(self):
        self.rebase()
        mica("rollback", self.vm)
        self.rebase()
        for name in ("vm.mica.before-1x", "vm.mica.before-01", "vm.mica2.before-1", "vm.mica.quarantine"):
            shutil.copy(self.kept, os.path.join(self.pool.vms, name))
        stays = sorted(set(os.listdir(self.pool.vms)) - {"vm.mica.before-1", "vm.mica.undone-1"})
        tree = self.pool.tree_of(self.vm)
        record, summary = self.confirm("-n", self.vm)
        self.assertTrue(record["dry-run"])
        self.assertTrue(os.path.exists(self.kept))
        record, summary = self.confirm(self.vm)
        self.assertEqual([os.path.basename(delta["filename"]) for delta in record["dropped"]],
                         ["vm.mica.undone-1", "vm.mica.before-1"])
        self.assertEqual(record["dropped"][1]["parent"], self.pool.v1)
        self.assertEqual((summary["dropped"], summary["failed"]), (2, 0))
        self.assertGreater(summary["bytes"], 0)
        self.assertEqual(sorted(os.listdir(self.pool.vms)), stays)
        os.unlink(self.pool.v1)  # nothing needs the old master any more
        self.assertEqual(self.pool.tree_of(self.vm), tree)
        self.assertIn("no rebase to undo", mica("rollback", self.vm, status=1).stderr)
        self.assertEqual(self.confirm(self.vm)[1]["dropped"], 0)

    def test_a_running_vm_can_be_confirmed(self):
        self.rebase()
        with Server(self.directory, f"x={self.vm}") as server:
            handle = server.connect("x")
            handle.pwrite(b"running" * 512, 8 << 20)
            self.confirm(self.vm)
            self.assertEqual(handle.pread(7, 8 << 20), b"running")
        self.assertEqual(self.names(), [])

    def test_what_is_young_stays(self):
        self.rebase()
        record, summary = self.confirm("--older-than", "2", self.vm)
        self.assertEqual(summary["dropped"], 0)
        self.assertIn("0 days ago", record["left"][0]["why"])
        self.assertFalse(record["left"][0]["refused"])
        self.confirm("--older-than", "0", self.vm)
        self.assertEqual(self.names(), [])

    def test_nothing_goes_when_the_current_delta_does_not_open(self):
        self.rebase()
        away = self.path("away.raw")
        os.rename(self.pool.v2, away)
        self.assertIn("v2.raw", mica("confirm", self.vm, status=1).stderr)
        os.rename(away, self.pool.v2)
        with open(self.vm, "r+b") as file:
            file.write(bytes(65536))
        self.assertIn("rollback", mica("confirm", self.vm, status=1).stderr)
        self.assertEqual(self.names(), ["vm.mica.before-1"])
        mica("rollback", self.vm)

    def test_what_is_in_use_or_no_kept_delta_stays(self):
        self.rebase()
        with Server(self.directory, f"x={self.kept}"):
            record, _ = self.confirm(self.vm, status=1)
            self.assertTrue(record["left"][0]["refused"])
        os.rename(self.kept, self.path("real"))
        os.link(self.vm, self.kept)  # as a switch that was cut off leaves it
        self.assertIn("another name", self.confirm(self.vm, status=1)[0]["left"][0]["why"])
        os.unlink(self.kept)
        os.symlink(self.path("real"), self.kept)
        self.assertIn("regular file", self.confirm(self.vm, status=1)[0]["left"][0]["why"])
        os.unlink(self.kept)
        with open(self.kept, "wb") as file:
            file.write(b"notes of somebody\n" * 1000)
        self.confirm(self.vm, status=1)
        os.unlink(self.kept)
        mica("create", self.kept, "1M")
        self.assertIn("no delta", self.confirm(self.vm, status=1)[0]["left"][0]["why"])
        os.unlink(self.kept)
        mica("clone", self.pool.v1, self.kept)
        mica("seal", self.kept)
        self.assertIn("sealed", self.confirm(self.vm, status=1)[0]["left"][0]["why"])
        self.assertEqual(self.names(), ["vm.mica.before-1", "vm.mica.before-1.index"])

    def test_one_at_a_time_with_rebases(self):
        self.rebase()
        folder = self.vm + ".rebasing.d"
        os.mkdir(folder)
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        self.assertIn("another rebase", mica("confirm", self.vm, status=5).stderr)
        os.close(lock)
        self.confirm(self.vm)
        self.assertFalse(os.path.exists(folder))

    def test_a_job_cleans_up(self):
        """Only what is old enough goes; the clock of a kept delta is its ctime, which only time changes."""
        for number in range(3):
            self.pool.delta(f"vm{number}.mica", *self.pool.owner_commands(number, 0))
        job = ("--job", self.path("job"), "--keep-days", "1")
        self.rebase(*job, vm=os.path.join(self.pool.vms, "vm?.mica"), status=0)
        self.assertEqual(len(self.names()), 3)
        report, _ = pool.report(self.path("job"))
        self.assertEqual(report["kept_removed"], {"deltas": 0, "bytes": 0})
        result = mica("confirm", "--pool", self.write_pool(), "--older-than", "1")
        self.assertEqual(result.stdout.count("kept: "), 3)
        mica("confirm", "--pool", self.write_pool())
        self.assertEqual(self.names(), [])
        self.rebase("--keep-days", "1", "--report", self.path("report"))
        self.assertEqual(self.names(), ["vm.mica.before-1"])

    def write_pool(self):
        with open(self.path("pool.txt"), "w", encoding="utf-8") as file:
            file.write("vms/vm?.mica\n")
        return self.path("pool.txt")


if __name__ == "__main__":
    harness.need_programs("mke2fs", "debugfs", "e2fsck")
    harness.main()
