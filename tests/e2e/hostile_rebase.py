#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Rebases and predictions of VMs, and onto masters, whose ext file systems are damaged in a chosen structure: each ends
with a message or with a result that e2fsck accepts, within the worker's memory and time, and never by a signal.

  hostile_rebase.py [--count N] [--seed S] [--first K] [--keep DIRECTORY]

Case K of seed S is always the same: --first K --count 1 repeats it.
"""

import argparse
import collections
import os
import random
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import ext4_damage  # noqa: E402
import harness  # noqa: E402
import pool  # noqa: E402
from harness import mica, run  # noqa: E402

DISK_BYTES = 12 << 20
VARIANTS = {
    "checksums": "-t ext4 -b 1024",
    "plain": "-t ext4 -b 1024 -O ^metadata_csum,^64bit",
    "large-blocks": "-t ext4 -b 4096 -O ^metadata_csum -J size=4",
    "ext3": "-t ext3 -b 1024",
    "inline": "-t ext4 -b 1024 -I 512 -O inline_data,ea_inode,^metadata_csum",
    "no-journal": "-t ext4 -b 1024 -O ^has_journal,^metadata_csum",
}
LIMITS = ("--worker-memory=1G", "--worker-time=40")
TIMEOUT = 90  # seconds; the worker's own limit comes first
# What these messages say must not happen here.
FORBIDDEN = ("signal", "longer than it may", "more memory", "Assertion", "terminate called")


class Family:
    """An old master, a VM on it and a new master, all of one kind of file system."""

    def __init__(self, directory, name, options):
        self.folder = os.path.join(directory, name)
        os.makedirs(self.folder)
        self.v1 = self._master(options)
        mica("seal", self.v1)
        self.v2 = self._changed("v2.raw", "patch")
        self.ours = self._changed("ours.raw", "owner")
        if "journal" not in options:
            self._leave_transaction(self.ours)
        self.surveys = {path: ext4_damage.Survey(path) for path in (self.v2, self.ours)}
        mica("seal", self.v2)

    def path(self, name):
        return os.path.join(self.folder, name)

    def _master(self, options):
        tree = self.path("tree")
        os.makedirs(os.path.join(tree, "many", "deep", "deeper"))
        for number in range(150):
            with open(os.path.join(tree, "many", f"a-file-with-quite-a-long-name-{number}"), "wb") as file:
                file.write(b"%d\n" % number * 50)
        os.symlink("x" * 200, os.path.join(tree, "many", "slow-link"))
        os.link(os.path.join(tree, "many", "slow-link"), os.path.join(tree, "hard"), follow_symlinks=False)
        with open(os.path.join(tree, "scattered"), "wb") as file:
            for block in range(150):
                file.seek(block * 8192)
                file.write(b"x" * 4096)
        disk = harness.make_raw(self.path("v1.raw"), DISK_BYTES)
        run("mke2fs", "-q", *options.split(), "-E", "root_owner=0:0,lazy_itable_init=0", "-d", tree, disk)
        shutil.rmtree(tree)
        value = "v" * 300
        pool.debugfs(disk, f"ea_set /scattered user.large {value}", "ea_set /hard user.small v")
        subprocess.run(["e2fsck", "-fyD", disk], capture_output=True, check=False)  # hashes directories
        run("e2fsck", "-fn", disk)
        return disk

    def _changed(self, name, who):
        disk = self.path(name)
        run("cp", "--sparse=always", self.v1, disk)
        text = self.path("text")
        with open(text, "w", encoding="ascii") as file:
            file.write(f"{who}\n" * 300)
        commands = [f"write {text} /many/{who}{number}" for number in range(10)]
        commands += [f"mkdir /many/deep/{who}", f"rm /many/a-file-with-quite-a-long-name-{len(who)}",
                     "rm /many/a-file-with-quite-a-long-name-100",
                     f"write {text} /many/a-file-with-quite-a-long-name-100", f"ea_set /hard user.{who} v"]
        pool.debugfs(disk, *commands)
        return disk

    def _leave_transaction(self, disk):
        """A journal that has to be replayed: it has the root's directory block once more."""
        block = int(run("debugfs", "-R", "bmap / 0", disk).stdout or "0")
        size = ext4_damage.Survey(disk).block
        if block == 0:  # inline
            return
        content = self.path("block")
        with open(disk, "rb") as file, open(content, "wb") as out:
            file.seek(block * size)
            out.write(file.read(size))
        run("debugfs", "-w", "-f", "/dev/stdin", disk, input=f"jo\njw -b {block} {content}\njc\n")


class Cases:
    def __init__(self, directory, seed):
        self.directory = directory
        self.seed = seed
        self.families = {name: Family(directory, name, options) for name, options in VARIANTS.items()}
        self.ends = collections.Counter()

    def run(self, number):
        """The problem of case `number`, or None."""
        generator = random.Random(f"{self.seed}-{number}")
        name = generator.choice(list(VARIANTS))
        family = self.families[name]
        side = generator.choice(("ours", "ours", "v2"))
        verb = generator.choice(("rebase", "rebase", "rebase", "fit"))
        folder = os.path.join(self.directory, f"case-{number}")
        os.makedirs(folder)
        source = getattr(family, side)
        damaged = os.path.join(folder, "damaged.raw")
        run("cp", "--sparse=always", source, damaged)
        done = ext4_damage.damage(damaged, family.surveys[source], generator)
        problem = self._outcome(folder, family, side, verb, damaged)
        if problem:
            return f"case {number}: {verb}, {name}, {side}, {done}: {problem}"
        shutil.rmtree(folder)
        return None

    def _outcome(self, folder, family, side, verb, damaged):
        vm = os.path.join(folder, "vm.mica")
        ours, onto = (damaged, family.v2) if side == "ours" else (family.ours, damaged)
        if side == "v2":
            mica("seal", onto)
        mica("convert", "-f", "raw", "-O", "mica", "-b", family.v1, ours, vm)
        try:
            ended = subprocess.run([harness.MICA, verb, *LIMITS, vm, "--onto", onto], capture_output=True, text=True,
                                   errors="replace", check=False, timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            return f"it takes more than {TIMEOUT} s"
        said = ended.stdout + ended.stderr
        if ended.returncode < 0 or any(word in said for word in FORBIDDEN):
            return f"status {ended.returncode}: {said[-2000:]}"
        self.ends[f"{verb} {ended.returncode}"] += 1
        if ended.returncode not in (0, 1, 3):
            return f"status {ended.returncode}: {said[-2000:]}"
        if ended.returncode == 1 and not ended.stderr.strip():
            return "it fails and does not say why"
        if verb == "fit" or ended.returncode == 1:
            return None
        return self._check_result(folder, vm)

    @staticmethod
    def _check_result(folder, vm):
        for image in (vm, vm + ".quarantine"):
            if not os.path.exists(image) or image == vm and os.path.exists(vm + ".quarantine"):
                continue
            raw = os.path.join(folder, "result.raw")
            mica("convert", "-O", "raw", image, raw)
            checked = subprocess.run(["e2fsck", "-fn", raw], capture_output=True, text=True, check=False)
            if checked.returncode != 0:
                return f"e2fsck of {os.path.basename(image)}: {checked.stdout}"
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--keep", help="a folder where the images of failed cases are left")
    arguments = parser.parse_args()
    harness.need_programs("mke2fs", "debugfs", "e2fsck")
    print(f"seed {arguments.seed}", flush=True)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="mica-hostile-") as directory:
        cases = Cases(directory, arguments.seed)
        for number in range(arguments.first, arguments.first + arguments.count):
            problem = cases.run(number)
            if not problem:
                continue
            failed += 1
            print(problem, flush=True)
            left = os.path.join(directory, f"case-{number}")
            if arguments.keep:
                shutil.copytree(left, os.path.join(arguments.keep, f"case-{number}"), dirs_exist_ok=True)
            shutil.rmtree(left)
    print(f"seed {arguments.seed}: {arguments.count} cases, {failed} failed; ends: {dict(sorted(cases.ends.items()))}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
