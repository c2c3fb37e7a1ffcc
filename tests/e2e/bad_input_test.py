#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Bad input to the command line: each case ends with a clear message and the exit status of the contract
(docs/cli.md), and harms nothing. Damage to every single byte of the format's structures is a test of the
format's own; here a user's mistakes and mishaps are."""

import os
import random
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import harness  # noqa: E402
import pool  # noqa: E402
from harness import MICA, Server, mica, run  # noqa: E402

MIB = 1 << 20
ERROR, USAGE, BUSY, MISMATCH = 1, 2, 5, 6


class BadInput(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.master = self.sealed_master(8 * MIB, random.Random(1).randbytes(MIB))
        self.vm = self.clone(self.master)

    def refused(self, *arguments, status=ERROR, says=()):
        """The message is one of ours: it names the file and is no crash."""
        result = mica(*arguments, status=status)
        message = result.stderr
        self.assertNotEqual(message.strip(), "", arguments)
        self.assertNotIn("terminate called", message)
        for word in says:
            self.assertRegex(message, re.compile(word, re.IGNORECASE), arguments)
        return message

    def write_into(self, path, offset, data):
        with open(path, "r+b") as file:
            file.seek(offset)
            file.write(data)


class Usage(BadInput):
    def test_usage(self):
        self.refused(status=USAGE)
        self.refused("frobnicate", status=USAGE)
        self.refused("create", status=USAGE)
        self.refused("create", "--no-such-option", self.path("x"), "1M", status=USAGE)
        self.refused("create", self.path("x"), "many", status=USAGE)
        self.refused("rebase", self.vm, status=USAGE)
        self.refused("serve", status=USAGE)
        mica("--help")
        for verb in ("create", "clone", "seal", "info", "map", "check", "compare", "convert", "serve", "ls", "cat",
                     "extract", "diff", "fit", "rebase", "rollback"):
            with self.subTest(verb=verb):
                self.assertIn(verb, mica(verb, "--help").stdout)

    def test_missing_and_existing(self):
        self.refused("info", self.path("nothing"), says=["nothing"])
        self.refused("create", self.vm, "1M", says=["vm.mica"])
        self.refused("clone", self.master, self.vm, says=["vm.mica"])
        self.refused("serve", "--socket", self.path("socket"), f"vm={self.path('nothing')}", says=["nothing"])
        self.refused("info", self.directory, says=["directory"])

    def test_unsealed_parent(self):
        unsealed = harness.make_raw(self.path("unsealed.raw"), MIB)
        self.refused("clone", unsealed, self.path("x.mica"), says=["unsealed", "seal"])
        self.assertFalse(os.path.exists(self.path("x.mica")))

    def test_sizes(self):
        self.refused("create", "-b", self.master, self.path("small.mica"), "4M", status=USAGE, says=["size"])
        mica("create", "-b", self.master, self.path("large.mica"), "32M")
        with Server(self.directory, f"vm={self.path('large.mica')}") as server:
            handle = server.connect("vm")
            self.assertEqual(handle.get_size(), 32 * MIB)
            self.assertEqual(handle.pread(MIB, 20 * MIB), bytes(MIB))
            handle.pwrite(b"end", 32 * MIB - 3)
            self.assertEqual(handle.pread(4096, 32 * MIB - 4096), bytes(4093) + b"end")
        mica("check", self.path("large.mica"))


class Damage(BadInput):
    def test_foreign_files(self):
        samples = {"empty": b"", "text": b"hello\n" * 100, "noise": random.Random(2).randbytes(100000),
                   "png": b"\x89PNG\r\n\x1a\n" + bytes(100), "zeros": bytes(3 * MIB)}
        for name, content in samples.items():
            with self.subTest(name):
                path = harness.make_raw(self.path(name), len(content), content)
                self.refused("info", "-f", "mica", path, says=[name])
                self.refused("serve", "--socket", self.path("socket"), "-f", "mica", f"vm={path}", says=[name])

    def test_truncated(self):
        size = os.path.getsize(self.vm)
        for keep in sorted({0, 1, 511, 4095, 4096, 8192, 65536, size // 2, size - 4096, size - 1}):
            if not 0 <= keep < size:
                continue
            with self.subTest(keep=keep):
                short = shutil.copy(self.vm, self.path("short.mica"))
                with open(short, "r+b") as file:
                    file.truncate(keep)
                self.never_wrong(short)

    def test_flipped_bytes(self):
        """Hundreds of flips in the metadata of an image with content: refused or harmless, never a crash."""
        with Server(self.directory, f"vm={self.vm}") as server:
            handle = server.connect("vm")
            for index in range(40):
                handle.pwrite(bytes([index + 1]) * 5000, index * 100000)
            handle.flush()
            expected = handle.pread(8 * MIB, 0)
        generator = random.Random(5)
        for offset in [*range(0, 512, 8), *(generator.randrange(256 * 1024) for _ in range(60))]:
            with self.subTest(offset=offset):
                flipped = shutil.copy(self.vm, self.path("flipped.mica"))
                with open(flipped, "rb") as file:
                    file.seek(offset)
                    byte = file.read(1)
                if byte:
                    self.write_into(flipped, offset, bytes([byte[0] ^ (1 << generator.randrange(8))]))
                self.never_wrong(flipped, expected)

    def never_wrong(self, image, expected=None):
        """An image opens and gives its content, or is refused with a message; no third way."""
        out = self.path("out.raw")
        result = subprocess.run([MICA, "convert", "-f", "mica", "-O", "raw", image, out], capture_output=True,
                                text=True, check=False)
        if result.returncode == 0:
            with open(out, "rb") as file:
                content = file.read()
            if expected is not None:
                self.assertEqual(content, expected)
            os.unlink(out)
        else:
            self.assertIn(result.returncode, (ERROR, MISMATCH), result.stderr)
            self.assertNotEqual(result.stderr.strip(), "")
            self.assertFalse(os.path.exists(out), "a failed convert leaves nothing under the name")
        check = subprocess.run([MICA, "check", image], capture_output=True, text=True, check=False)
        self.assertIn(check.returncode, (0, 1, 2, 3), check.stderr)


class Parents(BadInput):
    def refused_parent(self, says):
        self.refused("serve", "--socket", self.path("socket"), f"vm={self.vm}", status=MISMATCH, says=says)
        self.refused("convert", "-O", "raw", self.vm, self.path("out.raw"), status=MISMATCH, says=says)
        self.assertFalse(os.path.exists(self.path("out.raw")))

    def test_swapped(self):
        other = harness.make_raw(self.path("other.raw"), 8 * MIB, b"other")
        mica("seal", other)
        for path in os.listdir(self.directory):
            if path.startswith("other.raw"):
                os.replace(self.path(path), self.path(path.replace("other.raw", "master.raw")))
        self.refused_parent(["master.raw"])

    def test_size_changed(self):
        with open(self.master, "r+b") as file:
            file.truncate(8 * MIB + 4096)
        self.refused_parent(["master.raw"])

    def test_modified(self):
        """A byte changed inside: the block's digest tells, at the latest when it is read."""
        self.write_into(self.master, 500000, b"tampered")
        message = mica_any(self, "convert", "-O", "raw", self.vm, self.path("out.raw"))
        self.assertRegex(message, "master.raw|500|499712|corrupt|digest")
        self.assertFalse(os.path.exists(self.path("out.raw")))

    def test_missing(self):
        os.rename(self.master, self.path("elsewhere.raw"))
        self.refused("serve", "--socket", self.path("socket"), f"vm={self.vm}", says=["master.raw"])

    def test_sealed_is_not_written(self):
        with Server(self.directory, f"master={self.master}") as server:
            run("nbdinfo", "--can", "write", server.uri("master"), status=2)


def mica_any(case, *arguments):
    """Runs a verb that must fail, with an error or a mismatch; returns its message."""
    result = subprocess.run([MICA, *arguments], capture_output=True, text=True, check=False)
    case.assertIn(result.returncode, (ERROR, MISMATCH), result.stderr)
    return result.stderr


class InUse(BadInput):
    def test_second_writer(self):
        with Server(self.directory, f"vm={self.vm}"):
            self.refused("serve", "--socket", self.path("second"), f"vm={self.vm}", status=BUSY, says=["vm.mica"])
            self.refused("rebase", self.vm, "--onto", self.master, status=BUSY, says=["vm.mica"])
            shutil.copy(self.vm, f"{self.vm}.before-1")
            self.refused("rollback", self.vm, status=BUSY, says=["vm.mica"])
        with Server(self.directory, f"vm={self.vm}"):
            pass

    def test_rollback_without_rebase(self):
        self.refused("rollback", self.vm, says=["vm.mica"])


class Guests(BadInput):
    """Disks whose files cannot be read: diff, fit and rebase say so; the machine stays on its master."""

    def make_pair(self, content, size=16 * MIB):
        one = self.sealed_master(size, content, name="one.raw")
        harness.make_raw(self.path("two.raw"), size, content)
        self.write_into(self.path("two.raw"), 3 * MIB, b"patched")
        two = self.path("two.raw")
        mica("seal", two)
        vm = self.clone(one, "guest.mica")
        with Server(self.directory, f"vm={vm}") as server:
            server.connect("vm").pwrite(b"changed", 5 * MIB)
        return vm, two

    def refuses(self, content, says):
        vm, two = self.make_pair(content)
        for verb in ("fit", "rebase"):
            self.refused(verb, vm, "--onto", two, says=says)
        self.check_stays(vm)

    def check_stays(self, vm):
        mica("info", vm)
        with Server(self.directory, f"vm={vm}") as server:
            self.assertEqual(server.connect("vm").pread(7, 5 * MIB), b"changed")

    def test_no_partition_table(self):
        """Nobody knows what it is: the result is the patch's, and in quarantine."""
        vm, two = self.make_pair(random.Random(4).randbytes(4 * MIB))
        for verb, status in (("fit", 0), ("rebase", 3)):
            said = mica(verb, vm, "--onto", two, status=status).stdout
            self.assertIn("the VM and the patch both changed", said)
        self.check_stays(vm)
        self.assertTrue(os.path.exists(vm + ".quarantine"))

    def test_foreign_file_system(self):
        disk = harness.make_raw(self.path("disk"), 16 * MIB)
        run("sfdisk", "--quiet", disk, input="label: gpt\nstart=2048, type=linux\n")
        self.write_into(disk, MIB, b"XFSB" + random.Random(6).randbytes(4092))
        with open(disk, "rb") as file:
            self.refuses(file.read(), ["XFS", "ext4", "stays on its master"])

    def test_a_directory_with_two_names(self):
        """What no rename makes and no tool can carry: an error of the disk, not of the command."""
        machines = pool.Pool(self.directory)
        vm = machines.delta("vm.mica", "mkdir /home/mine", "link /home/mine /etc/mine")
        for verb in ("fit", "rebase"):
            self.refused(verb, vm, "--onto", machines.v2, says=["vm.mica", "/etc/mine", "/home/mine", "e2fsck"])

    def test_damaged_ext4(self):
        disk = harness.make_raw(self.path("disk"), 16 * MIB)
        run("sfdisk", "--quiet", disk, input="label: gpt\nstart=2048, type=linux\n")
        run("mkfs.ext4", "-q", "-F", "-b", "4096", "-E", f"offset={MIB},lazy_itable_init=0", disk, "14000k")
        for offset, length in ((MIB + 1024 + 100, 200), (MIB + 4096, 2000)):  # superblock, group descriptors
            with self.subTest(offset=offset):
                damaged = shutil.copy(disk, self.path("damaged"))
                self.write_into(damaged, offset, random.Random(offset).randbytes(length))
                with open(damaged, "rb") as file:
                    self.refuses(file.read(), [])
                for name in os.listdir(self.directory):
                    if name.startswith(("one.raw", "two.raw", "guest.mica")):
                        os.unlink(self.path(name))

    def test_ls_of_nothing(self):
        self.refused("ls", f"{self.vm}:1", "/")
        self.refused("cat", f"{self.vm}:7", "/etc/passwd")


if __name__ == "__main__":
    harness.import_nbd()
    harness.need_programs("sfdisk", "mkfs.ext4", "nbdinfo")
    harness.main()
