#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Snapshots, resize and incremental backup with the real program."""

import json
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import harness  # noqa: E402

MIB = 1 << 20


class SnapshotTest(harness.TestCase):
    def image(self, size):
        """A delta on a sealed master of random bytes."""
        rng = random.Random(5)
        self.master_content = rng.randbytes(3 * MIB) + bytes(size - 3 * MIB)
        master = self.sealed_master(size, self.master_content)
        return self.clone(master)

    def write(self, vm, offset, content):
        with harness.Server(self.directory, vm) as server:
            handle = server.connect("vm")
            handle.pwrite(content, offset)
            handle.flush()
            handle.shutdown()

    def content(self, name):
        raw = self.path("content.raw")
        harness.mica("convert", "-O", "raw", "--force", name, raw)
        with open(raw, "rb") as file:
            return file.read()

    def snapshots(self, vm):
        return json.loads(harness.mica("snapshot", "--json", vm).stdout)["snapshots"]

    def test_states_are_kept_and_come_back_with_their_size(self):
        vm = self.image(8 * MIB)
        self.write(vm, 4 * MIB, b"one" * 5000)
        first = self.content(vm)
        harness.mica("snapshot", "-c", "first", vm)
        harness.mica("resize", vm, "+8M")
        self.write(vm, 12 * MIB, b"two" * 5000)
        self.write(vm, 0, bytes(MIB))
        second = self.content(vm)
        self.assertEqual(len(second), 16 * MIB)
        harness.mica("snapshot", "-c", "second", vm)
        self.assertIn("--shrink", harness.mica("resize", vm, "2M", status=2).stderr)
        harness.mica("resize", "--shrink", vm, "2M")
        harness.mica("resize", vm, "16M")
        third = self.content(vm)
        self.assertEqual(third, second[:2 * MIB] + bytes(14 * MIB))
        for name, expected in (("first", first), ("second", second)):
            self.assertEqual(self.content(f"{vm}@{name}"), expected, name)
        self.assertEqual([s["name"] for s in self.snapshots(vm)], ["first", "second"])
        self.assertEqual([s["virtual-size"] for s in self.snapshots(vm)], [8 * MIB, 16 * MIB])
        harness.mica("check", "--data", vm)
        harness.mica("snapshot", "-a", "first", vm)
        self.assertEqual(self.content(vm), first)
        harness.mica("snapshot", "-a", "second", vm)
        self.assertEqual(self.content(vm), second)
        harness.mica("snapshot", "-d", "first", vm)
        harness.mica("snapshot", "-d", "second", vm)
        self.assertEqual(self.content(vm), second)
        self.assertEqual(self.snapshots(vm), [])
        harness.mica("check", "--data", vm)

    def test_an_incremental_backup_is_a_full_one(self):
        vm = self.image(8 * MIB)
        rng = random.Random(7)
        self.write(vm, 5 * MIB, rng.randbytes(100_000))
        harness.mica("snapshot", "-c", "0", vm)
        backup = bytearray(self.content(f"{vm}@0"))
        for round_number in range(1, 4):
            for _ in range(5):
                self.write(vm, rng.randrange(7 * MIB), rng.randbytes(rng.randrange(1, 50_000)))
            harness.mica("snapshot", "-c", str(round_number), vm)
            since, now = str(round_number - 1), f"{vm}@{round_number}"
            changed = json.loads(harness.mica("map", "--since", since, "--json", now).stdout)
            self.assertLess(sum(part["length"] for part in changed), MIB)
            content = self.content(now)
            for part in changed:
                begin, end = part["start"], part["start"] + part["length"]
                backup[begin:end] = bytes(end - begin) if part["zero"] else content[begin:end]
            self.assertEqual(backup, content)

    def test_a_revert_makes_old_epochs_unknown(self):
        vm = self.image(4 * MIB)
        harness.mica("snapshot", "-c", "a", vm)
        self.write(vm, 0, b"x" * 4096)
        harness.mica("snapshot", "-c", "b", vm)
        harness.mica("snapshot", "-a", "a", vm)
        self.write(vm, 8192, b"y" * 4096)
        changed = json.loads(harness.mica("map", "--since", "a", "--json", vm).stdout)
        self.assertEqual(changed, [{"start": 8192, "length": 4096, "zero": False}])
        self.assertIn("full copy", harness.mica("map", "--since", "b", vm, status=6).stderr)
        self.assertIn("expected one of its snapshots",
                      harness.mica("map", "--since", "nope", vm, status=1).stderr)
        epoch = json.loads(harness.mica("info", "--json", vm).stdout)["epoch"]
        harness.mica("map", "--since", epoch, vm)
        self.assertIn("still to come", harness.mica("map", "--since", epoch + 1, vm, status=2).stderr)

    def test_snapshots_are_read_by_all_and_written_by_nobody(self):
        vm = self.image(4 * MIB)
        self.write(vm, 0, b"kept" * 1024)
        harness.mica("snapshot", "-c", "s@1", vm)
        self.write(vm, 0, b"gone" * 1024)
        with harness.Server(self.directory, f"old={vm}@s@1") as server:
            handle = server.connect("old")
            self.assertTrue(handle.is_read_only())
            self.assertEqual(handle.pread(4, 0), b"kept")
            handle.shutdown()
        harness.mica("compare", vm, f"{vm}@s@1", status=1)
        info = json.loads(harness.mica("info", "--json", f"{vm}@s@1").stdout)
        self.assertEqual(info["snapshot"], "s@1")
        self.assertIn("cannot be written", harness.mica("resize", f"{vm}@s@1", "8M", status=1).stderr)
        self.assertIn("expected a snapshot", harness.mica("map", f"{vm}@nope", status=1).stderr)
        raw = harness.make_raw(self.path("plain.raw"), MIB)
        self.assertIn("keeps no snapshots", harness.mica("snapshot", "-f", "raw", raw, status=1).stderr)

    def test_a_list_of_an_image_in_use(self):
        vm = self.image(4 * MIB)
        harness.mica("snapshot", "-c", "s", vm)
        with harness.Server(self.directory, vm):
            self.assertEqual(len(self.snapshots(vm)), 1)
            harness.mica("snapshot", "-c", "t", vm, status=5)
            harness.mica("resize", vm, "+1G", status=5)
        self.assertIn("multiple of 4096", harness.mica("resize", vm, "+1", status=2).stderr)
        self.assertGreater(os.stat(vm).st_size, 0)


if __name__ == "__main__":
    harness.main()
