#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A full disk during convert, write and rebase: exit status 7 or ENOSPC on the wire, nothing half-written
under a name, and everything that was there before stays good."""

import errno
import os
import random
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import generated_rebase  # noqa: E402
import harness  # noqa: E402
from harness import Server, mica, run  # noqa: E402

nbd = harness.import_nbd()

MIB = 1 << 20
NO_SPACE = 7


class SmallDisk:
    """A mounted ext4 of a few MiB: writes past its space fail as they do for users."""

    def __init__(self, megabytes, directory):
        self.image = harness.make_raw(os.path.join(directory, "small.img"), megabytes * MIB)
        self.root = tempfile.mkdtemp(prefix="small-", dir=directory)

    def __enter__(self):
        run("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", self.image)
        run("mount", "-o", "loop", self.image, self.root)
        return self.root

    def __exit__(self, *_):
        run("umount", self.root)


class FullDisk(harness.TestCase):
    def test_convert(self):
        source = harness.make_raw(self.path("source.raw"), 40 * MIB, random.Random(1).randbytes(30 * MIB))
        with SmallDisk(16, self.directory) as small:
            for target_format in ("raw", "mica"):
                target = os.path.join(small, f"target.{target_format}")
                with self.subTest(target_format):
                    result = mica("convert", "-O", target_format, source, target, status=NO_SPACE)
                    self.assertIn("target", result.stderr)
                    self.assertEqual(os.listdir(small), ["lost+found"], "something is left behind")

    def test_write(self):
        master = self.sealed_master(64 * MIB)
        with SmallDisk(16, self.directory) as small:
            vm = os.path.join(small, "vm.mica")
            mica("clone", master, vm)
            with Server(self.directory, f"vm={vm}") as server:
                handle = server.connect("vm")
                written = self.write_until_full(handle)
                self.check_content(handle, written)
                handle.shutdown()
            mica("check", vm)
            with Server(self.directory, f"vm={vm}") as server:
                self.check_content(server.connect("vm"), written)

    def test_quota(self):
        """The quota stops the guest as a full disk does; trimming and raising it let it go on."""
        vm = self.path("vm.mica")
        mica("clone", "-o", "quota=16M,quota_soft=8M", self.sealed_master(64 * MIB), vm)
        with Server(self.directory, f"vm={vm}") as server:
            handle = server.connect("vm")
            written = self.write_until_full(handle)
            self.check_content(handle, written)
            self.assertLess(os.stat(vm).st_blocks * 512, 17 * MIB)
            for word in ("soft quota of 8 MiB", "80 % of its quota", "a write was refused"):
                self.assertIn(word, server.output())
            handle.pwrite(bytes(range(256)) * 256, 65536)  # rewriting goes on
            handle.trim(4 * MIB, 65536)
            handle.flush()
            handle.pwrite(b"y" * MIB, 60 * MIB)
            handle.shutdown()
        mica("quota", "--hard", "64M", vm)
        with Server(self.directory, f"vm={vm}") as server:
            handle = server.connect("vm")
            for at in range(20 * MIB, 40 * MIB, MIB):
                handle.pwrite(b"z" * MIB, at)
            handle.shutdown()
        mica("check", "--data", vm)

    def test_space_returns(self):
        """Writes go on without reopening when somebody makes room on the host."""
        master = self.sealed_master(64 * MIB)
        with SmallDisk(32, self.directory) as small:
            vm = os.path.join(small, "vm.mica")
            mica("clone", master, vm)
            ballast = os.path.join(small, "ballast")
            with open(ballast, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, 14 * MIB)
            with Server(self.directory, f"vm={vm}") as server:
                handle = server.connect("vm")
                written = self.write_until_full(handle)
                os.unlink(ballast)
                handle.pwrite(b"z" * (4 * MIB), 60 * MIB)
                handle.flush()
                self.check_content(handle, written)
                self.assertIn("the host has no space", server.output())
                handle.shutdown()
            mica("check", "--data", vm)

    def write_until_full(self, handle):
        """Random blocks with flushes until ENOSPC; returns what the last good flush covers."""
        generator, flushed, written = random.Random(2), {}, {}
        handle.pwrite(b"first" * 1000, 0)
        with self.assertRaises(nbd.Error) as caught:
            for index in range(1, 60 * 16):
                seed = generator.getrandbits(60)
                handle.pwrite(random.Random(seed).randbytes(65536), index * 65536)
                written[index] = seed
                if index % 16 == 0:
                    handle.flush()
                    flushed = dict(written)
        self.assertEqual(caught.exception.errnum, errno.ENOSPC)
        self.assertGreater(len(flushed), 15)
        return flushed

    def check_content(self, handle, written):
        for index, seed in written.items():
            self.assertEqual(handle.pread(65536, index * 65536), random.Random(seed).randbytes(65536), index)

    def test_rebase(self):
        """The machine stays on its master, intact, and the same rebase works once there is space."""
        story = generated_rebase.Story(5, self.directory)
        story.make_base()
        with generated_rebase.Mounted(self.path("theirs.raw")) as root:
            with open(os.path.join(root, "data", "patch"), "wb") as file:
                file.write(b"patch")
        mica("seal", self.path("theirs.raw"))
        with SmallDisk(24, self.directory) as small:
            vm = os.path.join(small, "vm.mica")
            self.owner_writes(vm)
            mica("convert", "-O", "raw", vm, self.path("before.raw"))
            with open(os.path.join(small, "ballast"), "wb") as ballast:
                try:
                    while True:
                        ballast.write(bytes(65536))
                        ballast.flush()
                except OSError as error:
                    self.assertEqual(error.errno, errno.ENOSPC)
            names = sorted(os.listdir(small))
            mica("rebase", vm, "--onto", self.path("theirs.raw"), status=NO_SPACE)
            self.assertEqual(sorted(os.listdir(small)), names)
            mica("compare", vm, self.path("before.raw"))
            os.unlink(os.path.join(small, "ballast"))
            mica("rebase", vm, "--onto", self.path("theirs.raw"))
            self.assertEqual(mica("cat", f"{vm}:1", "/data/patch").stdout, "patch")

    def owner_writes(self, vm):
        """A delta of 8 MiB of the owner's files, so that its rebase needs as much again."""
        base = self.path("base.raw")
        generated_rebase.copy_disk(base, self.path("own.raw"))
        with generated_rebase.Mounted(self.path("own.raw")) as root:
            with open(os.path.join(root, "data", "own"), "wb") as file:
                file.write(random.Random(3).randbytes(8 * MIB))
        mica("convert", "-f", "raw", "-O", "mica", "-b", base, self.path("own.raw"), vm)


if __name__ == "__main__":
    harness.need_root("a small file system to fill")
    harness.main()
