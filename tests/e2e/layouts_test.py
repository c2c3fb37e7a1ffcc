#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Disks with several partitions: two ext4 file systems are merged file by file, the others go by the block rule of
docs/rebase.md. The same on GPT and on MBR with logical partitions."""

import json
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import disk as disks  # noqa: E402
import harness  # noqa: E402
from disk import MIB  # noqa: E402
from harness import mica, run  # noqa: E402

DISK_BYTES = 48 * MIB
BOOT_CODE = 64 * 512  # behind either table, before the first partition
SWAP_SIGNATURE = 4086
FSTAB = "# made by a test\n/dev/vda{} /var ext4 defaults 0 2\n"
PASSWD = "root:x:0:0::/root:/bin/sh\n"
KEY = b"LUKS\xba\xbe"


class Layouts:
    """The cases; SCRIPT is for sfdisk, and the numbers say which partition is which."""

    SCRIPT = BOOT = ROOT = SWAP = DATA = OTHER = None

    def setUp(self):
        super().setUp()
        disk = disks.Disk.make(self.path("v1.raw"), DISK_BYTES, self.SCRIPT)
        disk.format(self.BOOT, "mkfs.fat", "-n", "BOOT")
        disk.format(self.SWAP, "mkswap", "-q")
        for number in (self.ROOT, self.DATA):
            disk.format(number, "mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=0")
            disk.debugfs(number, f"write {self.file('old')} shared")
        disk.debugfs(self.ROOT, "mkdir etc", f"write {self.text('fstab', FSTAB.format(self.DATA))} etc/fstab",
                     f"write {self.text('passwd', PASSWD)} etc/passwd")
        disk.debugfs(self.ROOT, "mkdir var", "mkdir usr", "mkdir usr/bin")
        disk.debugfs(self.DATA, "mkdir lib", "mkdir lib/dpkg", "mkdir lib/dpkg/info")
        self.install(disk, "1.0", "tool", "tool-data")
        disk.fat_file(self.BOOT, self.file("entry"), "/entry")
        disk.write(self.OTHER, random.Random(1).randbytes(MIB))
        self.v1 = disk
        self.v2 = disk.copy(self.path("v2.raw"))
        self.ours = disk.copy(self.path("ours.raw"))
        mica("seal", disk.path)
        for number in (self.ROOT, self.DATA):
            self.v2.debugfs(number, f"write {self.file('patch')} patch")
            self.ours.debugfs(number, f"write {self.file('owner')} own")

    def text(self, name, content):
        path = self.path("file-" + name)
        with open(path, "w", encoding="ascii") as file:
            file.write(content)
        return path

    def file(self, content):
        return self.text(content, content)

    def install(self, disk, version, *files, more=""):
        """A version of a package that brings these files in /usr/bin; its records are in /var, another volume."""
        paths = [f"/usr/bin/{name}" for name in files]
        there = disk.names(self.ROOT, "/usr/bin")
        disk.debugfs(self.ROOT, *(f"rm /usr/bin/{name}" for name in there),
                     *(f"write {self.file(f'{name}-{version}')} {path}" for name, path in zip(files, paths)))
        status = (f"Package: tool\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n{more}")
        records = {"status": self.text(f"status-{version}", status),
                   "info/tool.list": self.text(f"list-{version}", "".join(f"{path}\n" for path in ["/.", *paths]))}
        if there:
            disk.debugfs(self.DATA, *(f"rm lib/dpkg/{name}" for name in records))
        disk.debugfs(self.DATA, *(f"write {path} lib/dpkg/{name}" for name, path in records.items()))

    def rebase(self, status=0):
        """Makes the VM of what `ours` is by now and rebases it onto `v2`; its messages."""
        mica("seal", self.v2.path)
        self.vm = self.path("vm.mica")
        mica("convert", "-f", "raw", "-O", "mica", "-b", self.v1.path, self.ours.path, self.vm)
        return mica("rebase", self.vm, "--onto", self.v2.path, status=status).stderr

    def entries(self, topic):
        """Name -> what the report says of it."""
        with open(self.vm + ".report.jsonl", encoding="utf-8") as file:
            entries = [json.loads(line) for line in file]
        return {entry["path"]: entry for entry in entries if entry.get("topic") == topic}

    def volumes(self):
        return self.entries("volume")

    def result(self, image):
        raw = image + ".raw"
        mica("convert", "-O", "raw", image, raw)
        return disks.Disk(raw, self.v1.partitions)

    def check_merged(self, result):
        for number in (self.ROOT, self.DATA):
            result.check(number)
            self.assertEqual(result.names(number) - {"etc", "usr", "var", "lib"}, {"shared", "patch", "own"})

    def test_policies_and_reports_speak_of_the_paths_of_the_guest(self):
        """The data volume is /var, so what is in its /cache is dropped."""
        self.ours.debugfs(self.DATA, "mkdir cache", f"write {self.file('cached')} cache/x")
        self.rebase()
        self.assertEqual(self.result(self.vm).names(self.DATA, "/cache"), set())
        entries = self.entries("object")
        self.assertEqual(entries["/var/cache/x"]["action"], "dropped")
        self.assertEqual({"/own", "/var/own"} - set(entries), set())
        mica("rebase", "--verify", self.vm + ".report.jsonl")

    def test_a_conflict_on_a_mounted_volume_is_found_in_that_volume(self):
        for disk, words in ((self.ours, "mine"), (self.v2, "theirs")):
            disk.debugfs(self.DATA, "rm shared", f"write {self.file(words)} shared")
        self.rebase(status=3)
        show = ("rebase", "--show-conflict", self.vm + ".report.jsonl", "/var/shared")
        self.assertEqual(mica(*show).stdout, "theirs")
        mica(*show, "--to", self.path("versions"))
        for name, words in (("base", "old"), ("ours", "mine"), ("theirs", "theirs")):
            with open(os.path.join(self.path("versions"), name), encoding="ascii") as file:
                self.assertEqual(file.read(), words)

    def check_tool(self, version, *files):
        for name in files:
            self.assertEqual(mica("cat", f"{self.vm}:{self.ROOT}", f"/usr/bin/{name}").stdout, f"{name}-{version}")
        self.assertEqual(self.result(self.vm).names(self.ROOT, "/usr/bin"), set(files))
        self.assertIn(f"\nVersion: {version}\n", mica("cat", f"{self.vm}:{self.DATA}", "/lib/dpkg/status").stdout)
        mica("rebase", "--verify", self.vm + ".report.jsonl")

    def test_a_package_whose_records_are_on_another_volume_comes_from_one_side(self):
        self.install(self.ours, "1.2", "tool", "tool-data", "tool-old")
        self.install(self.v2, "1.10", "tool", "tool-new")
        self.rebase(status=3)
        self.check_tool("1.10", "tool", "tool-new")
        self.assertEqual(self.entries("package")["tool"]["action"], "theirs")

    def test_a_local_edit_gives_way_to_an_upgrade_that_is_recorded_on_another_volume(self):
        """The VM changed nothing of the volume with the records."""
        self.ours = self.v1.copy(self.ours.path)
        self.ours.debugfs(self.ROOT, "rm usr/bin/tool", f"write {self.file('edited')} usr/bin/tool")
        self.install(self.v2, "1.10", "tool")
        self.rebase(status=3)
        self.check_tool("1.10", "tool")
        self.assertEqual(self.entries("object")["/usr/bin/tool"]["package"], "tool")

    def test_dependencies_are_checked_where_the_records_are(self):
        app = "Package: app\nStatus: install ok installed\nArchitecture: all\nVersion: 1\nDepends: tool (<< 1.5)\n\n"
        self.install(self.ours, "1.0", "tool", "tool-data", more=app)
        self.install(self.v2, "1.10", "tool", "tool-data")
        self.rebase(status=3)
        self.assertEqual(self.entries("dependency")["app"]["severity"], "error")

    def test_an_account_with_a_new_number_owns_its_files_on_all_volumes(self):
        for disk, name in ((self.ours, "mine"), (self.v2, "theirs")):
            accounts = self.text("passwd-" + name, PASSWD + f"{name}:x:101:0::/:/bin/false\n")
            disk.debugfs(self.ROOT, "rm etc/passwd", f"write {accounts} etc/passwd")
        self.ours.debugfs(self.DATA, f"write {self.file('data')} data", "sif data uid 101")
        self.rebase()
        passwd = mica("cat", f"{self.vm}:{self.ROOT}", "/etc/passwd").stdout
        number = next(line.split(":")[2] for line in passwd.splitlines() if line.startswith("mine:"))
        self.assertNotEqual(number, "101")
        [line] = [line for line in mica("ls", "-l", f"{self.vm}:{self.DATA}").stdout.splitlines() if "data" in line]
        self.assertEqual(line.split()[2], number)

    def test_what_the_vm_alone_changed_is_kept(self):
        self.ours.fat_file(self.BOOT, self.file("mine"), "/mine")
        self.ours.write(self.OTHER, b"of the owner", at=777777)
        self.ours.write(self.SWAP, b"swapped out", at=8192)
        with open(self.ours.path, "r+b") as file:
            file.seek(BOOT_CODE)
            file.write(b"boot loader of the VM")
        self.rebase()
        result = self.result(self.vm)
        self.check_merged(result)
        for number in (self.BOOT, self.OTHER):
            self.assertEqual(result.digest(number), self.ours.digest(number))
        self.assertEqual(result.digest(self.SWAP), self.v2.digest(self.SWAP))
        with open(result.path, "rb") as file:
            file.seek(BOOT_CODE)
            self.assertEqual(file.read(21), b"boot loader of the VM")
        actions = {name: entry["action"] for name, entry in self.volumes().items()}
        self.assertEqual(actions, {f"partition {self.BOOT}": "carried", f"partition {self.OTHER}": "carried",
                                   f"partition {self.SWAP}": "dropped",
                                   "the space outside the partitions": "carried"})
        mica("rebase", "--verify", self.vm + ".report.jsonl")

    def test_what_the_patch_alone_changed_is_there(self):
        self.v2.fat_file(self.BOOT, self.file("theirs"), "/theirs")
        self.v2.write(self.OTHER, b"of the patch", at=4096)
        self.rebase()
        result = self.result(self.vm)
        self.check_merged(result)
        for number in (self.BOOT, self.OTHER):
            self.assertEqual(result.digest(number), self.v2.digest(number))
        self.assertEqual(self.volumes(), {})

    def test_fat_that_both_changed_is_the_masters(self):
        self.v2.fat_file(self.BOOT, self.file("theirs"), "/theirs")
        self.ours.fat_file(self.BOOT, self.file("mine"), "/mine")
        self.rebase(status=3)
        result = self.result(self.vm)
        self.check_merged(result)
        self.assertEqual(result.digest(self.BOOT), self.v2.digest(self.BOOT))
        entry = self.volumes()[f"partition {self.BOOT}"]
        self.assertEqual(entry["severity"], "warn")
        self.assertIn("the VM added /mine", entry["detail"])

    def test_fat_of_which_the_vm_changed_no_file(self):
        """Mounting it is enough to change a byte."""
        self.v2.fat_file(self.BOOT, self.file("theirs"), "/theirs")
        self.ours.write(self.BOOT, b"\1", at=37)
        self.rebase()
        self.assertEqual(self.volumes()[f"partition {self.BOOT}"]["action"], "dropped")

    def test_unknown_content_that_both_changed_is_never_mixed(self):
        self.v2.write(self.OTHER, b"of the patch", at=4096)
        self.ours.write(self.OTHER, b"of the owner", at=777777)
        self.rebase(status=3)
        self.assertEqual(self.result(self.vm).digest(self.OTHER), self.ours.digest(self.OTHER))
        quarantined = self.result(self.vm + ".quarantine")
        self.check_merged(quarantined)
        self.assertEqual(quarantined.digest(self.OTHER), self.v2.digest(self.OTHER))

    def check_refused(self, *words):
        message = self.rebase(status=1)
        for word in (*words, "stays on its master", self.vm):
            self.assertIn(word, message)
        result = self.result(self.vm)
        self.assertEqual(result.names(self.ROOT), {"etc", "usr", "var", "shared", "own"})

    def test_a_hibernated_vm_is_refused(self):
        self.ours.write(self.SWAP, b"S1SUSPEND\0", at=SWAP_SIGNATURE)
        self.check_refused(f"partition {self.SWAP}", "hibernated")

    def test_a_hibernated_master_is_refused(self):
        self.v2.write(self.SWAP, b"S1SUSPEND\0", at=SWAP_SIGNATURE)
        self.check_refused(f"partition {self.SWAP}", "hibernated", "new master")

    def test_an_encrypted_volume_is_refused(self):
        self.ours.write(self.OTHER, KEY)
        self.check_refused(f"partition {self.OTHER}", "encrypted", "LUKS")

    def test_another_partition_table_is_refused(self):
        run("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "--delete", self.ours.path, str(self.OTHER))
        self.check_refused("partition table")


class Gpt(Layouts, harness.TestCase):
    BOOT, ROOT, SWAP, DATA, OTHER = 1, 2, 3, 4, 5
    SCRIPT = """label: gpt
start=1MiB, size=8MiB, type=uefi
start=9MiB, size=14MiB, type=linux
start=23MiB, size=2MiB, type=swap
start=25MiB, size=14MiB, type=linux
start=39MiB, size=2MiB, type=linux
"""


class Mbr(Layouts, harness.TestCase):
    BOOT, ROOT, SWAP, DATA, OTHER = 1, 2, 5, 6, 7
    SCRIPT = """label: dos
start=1MiB, size=8MiB, type=c
start=9MiB, size=14MiB, type=83
start=23MiB, size=25MiB, type=5
start=24MiB, size=2MiB, type=82
start=27MiB, size=14MiB, type=83
start=42MiB, size=2MiB, type=83
"""


if __name__ == "__main__":
    harness.need_programs("sfdisk", "mke2fs", "debugfs", "e2fsck", "mkfs.fat", "mcopy", "mkswap")
    harness.main()
