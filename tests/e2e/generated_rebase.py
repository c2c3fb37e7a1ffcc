#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Rebases of generated disks: a random tree, random changes of an owner and of an administrator through
the kernel's ext4, a rebase, e2fsck, and an oracle that looks at every path of the result.

Replay one failure with: generated_rebase.py --seed N --count 1 --keep
"""

import argparse
import errno
import itertools
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "support"), os.path.join(HERE, "..", "..", "tools", "quickstart")]
import harness  # noqa: E402
import merge_table  # noqa: E402
import tree  # noqa: E402
from harness import mica  # noqa: E402
from generated_disks import FILE_SYSTEMS, Ext4  # noqa: E402
from mounts import Mounted, copy_disk, exported  # noqa: E402
from rebase_generator import Side  # noqa: E402
from rebase_oracle import Oracle, Tree  # noqa: E402

# What guests are made with; the first is the default and taken most often.
MKFS_VARIANTS = ((), (), (), ("-b", "1024"), ("-O", "^metadata_csum"), ("-I", "512"), ("-O", "^has_journal"),
                 ("-t", "ext3"))
# All kinds of ext file systems that this kernel mounts; the matrix has a story of each.
MATRIX = ((), ("-b", "1024"), ("-b", "2048"), ("-I", "128"), ("-I", "512"), ("-t", "ext2"), ("-t", "ext3"),
          ("-O", "^has_journal"), ("-O", "^metadata_csum"), ("-O", "^metadata_csum,uninit_bg"), ("-O", "^64bit"),
          ("-O", "^extent,^64bit"), ("-O", "^dir_index"), ("-O", "^flex_bg"), ("-O", "large_dir"),
          ("-O", "metadata_csum_seed"), ("-O", "orphan_file"), ("-O", "inline_data"),
          ("-O", "inline_data", "-I", "512"), ("-O", "ea_inode"), ("-O", "inline_data,ea_inode", "-I", "512"),
          ("-O", "bigalloc", "-C", "16384"), ("-O", "bigalloc", "-C", "65536"), ("-O", "encrypt,verity"),
          ("-O", "sparse_super2"))


def read_texts(root, names):
    texts = {}
    for path in names:
        if path.endswith(".txt") and os.path.isfile(os.path.join(root, path)):
            with open(os.path.join(root, path), "rb") as file:
                texts[path] = file.read()
    return texts


def record(root, names):
    return Tree(names, tree.scan(root), read_texts(root, names))


class Story:
    """One seed from the base tree to the verdict."""

    def __init__(self, seed, directory, kind=Ext4, variant=None):
        self.seed, self.directory, self.kind, self.variant = seed, directory, kind, variant
        self.rows = merge_table.count_rows(os.devnull)  # of the merge table that occurred
        self.random = random.Random(seed)

    def path(self, name):
        return os.path.join(self.directory, name)

    def mounted(self, disk, *options):
        return Mounted(disk, *self.kind.mount_options, *options, offset=self.kind.offset)

    def make_base(self):
        chosen = self.random.choice(MKFS_VARIANTS)
        self.kind.make(self.path("base.raw"), chosen if self.variant is None else self.variant)
        with self.mounted(self.path("base.raw"), *self.kind.unflushed) as root:
            side = Side(root, self.random.random())
            side.furnish()
            self.base = record(root, side.names)
        self.hot = self.random.sample(sorted(self.base.names), 10)
        copy_disk(self.path("base.raw"), self.path("theirs.raw"))
        mica("seal", self.path("base.raw"))
        return side

    def change(self, disk, names, number, *options):
        with self.mounted(disk, *options) as root:
            side = Side(root, self.random.random(), names, number, self.hot)
            side.change(self.random.choice((3, 12, 30, 60)))
            if "inline_data" not in str(self.variant):
                return record(root, side.names), side.log
        # Linux 6.18 shows stale bytes in an inline file that was made longer, until it reads it anew.
        with self.mounted(disk, "ro") as root:
            return record(root, side.names), side.log

    def change_ours(self, base):
        """Through an export in every sixth story, else on a copy that is then stored as a delta."""
        start = (base.names, 1_000_000)
        if self.seed % 6 == 0:
            mica("clone", self.path("base.raw"), self.path("vm.mica"))
            with exported(self.path("vm.mica"), self.directory) as disk:
                return self.change(disk, *start)
        copy_disk(self.path("base.raw"), self.path("ours.raw"))
        changed = self.change(self.path("ours.raw"), *start, *self.kind.unflushed)
        mica("convert", "-f", "raw", "-O", "mica", "-b", self.path("base.raw"), self.path("ours.raw"),
             self.path("vm.mica"))
        return changed

    def run(self):
        base = self.make_base()
        self.ours, self.ours_log = self.change_ours(base)
        self.theirs, self.theirs_log = self.change(self.path("theirs.raw"), base.names, 2_000_000,
                                                     *self.kind.unflushed)
        mica("seal", self.path("theirs.raw"))
        self.check_oracle()
        self.rebase()
        return self.judge()

    def judge(self):
        fsck = subprocess.run(self.kind.check(self.path("result.raw")), capture_output=True, text=True, check=False)
        if fsck.returncode != 0:
            return [f"{fsck.args[0]}: {fsck.stdout}{fsck.stderr}"], 0, 0
        with self.mounted(self.path("result.raw"), "ro") as root:
            entries = tree.scan(root)
            texts = read_texts(root, entries)
        self.rows = merge_table.count_rows(self.path("report.jsonl"))
        oracle = Oracle(self.base, self.ours, self.theirs, self.fits)
        problems = oracle.judge(entries, texts, tree.reported_paths(self.path("report.jsonl")))
        return problems, len(oracle.expected) - len(oracle.conflicts), len(oracle.conflicts)

    def fits(self, xattrs):
        """Whether the kernel finds room for them in one inode of the result, in whatever order."""
        with self.mounted(self.path("result.raw")) as root:
            probe = os.path.join(root, "probe")
            return any(self.holds(probe, order) for order in itertools.permutations(xattrs.items()))

    @staticmethod
    def holds(probe, xattrs):
        with open(probe, "wb"):
            pass
        try:
            for name, value in xattrs:
                os.setxattr(probe, name, bytes.fromhex(value))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return False
        finally:
            os.unlink(probe)
        return True

    def check_oracle(self):
        """Where only one side changed anything, the oracle wants exactly that side."""
        problems = Oracle(self.base, self.ours, self.base).judge(self.ours.entries, {}, {})
        problems += Oracle(self.base, self.base, self.theirs).judge(self.theirs.entries, {}, {})
        if problems:
            raise AssertionError(f"the oracle is wrong: {problems}")

    def rebase(self):
        result = subprocess.run(
            [harness.MICA, "rebase", *self.kind.rebase_options, self.path("vm.mica"), "--onto", self.path("theirs.raw"), "-o",
             self.path("result.mica"), "--report", self.path("report.jsonl")],
            capture_output=True, text=True, check=False)
        if result.returncode not in (0, 3):
            raise AssertionError(f"mica rebase: {result.returncode}\n{result.stdout}{result.stderr}")
        mica("convert", "-O", "raw", self.path("result.mica"), self.path("result.raw"))

    def explain(self, problems):
        which = "" if self.variant is None else f" --matrix {MATRIX.index(self.variant)}"
        print(f"--- seed {self.seed} {self.variant or ''} failed; replay: {os.path.basename(sys.argv[0])} --seed "
              f"{self.seed}{which} --file-system {self.kind.name} --count 1 --keep")
        for problem in problems[:20]:
            print(problem)
        for name in ("ours_log", "theirs_log"):
            print(f"{name}:", *getattr(self, name, ()), sep="\n    ")


def run_seed(story):
    """Runs it; returns its failure as a bool, and what the oracle looked at."""
    try:
        problems, exact, conflicts = story.run()
    except Exception:  # whatever it was, its seed has to be told
        problems, exact, conflicts = [traceback.format_exc()], 0, 0
    if problems:
        story.explain(problems)
    return bool(problems), exact, conflicts


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--count", type=int, default=300, help="how many seeds, one after the other")
    parser.add_argument("--matrix", type=int, nargs="?", const=-1,
                        help="each seed on every kind of file system, or on the one of that number")
    parser.add_argument("--file-system", choices=FILE_SYSTEMS, default="ext4")
    parser.add_argument("--folder", default="/var/tmp", help="where the disks go; /dev/shm is faster")
    parser.add_argument("--keep", action="store_true", help="leave the disks of a failed seed")
    return parser.parse_args()


def variants(matrix):
    if matrix is None:
        return (None,)
    return MATRIX if matrix < 0 else (MATRIX[matrix],)


def main(story_kind=Story):
    arguments = parse_arguments()
    harness.need_root("loop devices and mounts")
    kind = FILE_SYSTEMS[arguments.file_system]
    harness.need_programs("losetup", "nbdfuse", *kind.programs)
    failed, exact, conflicts, started = [], 0, 0, time.monotonic()
    rows = merge_table.count_rows(os.devnull)
    stories = [(seed, variant) for seed in range(arguments.seed, arguments.seed + arguments.count)
               for variant in variants(arguments.matrix)]
    for seed, variant in stories:
        directory = tempfile.mkdtemp(prefix=f"mica-rebase-{seed}-", dir=arguments.folder)
        story = story_kind(seed, directory, kind, variant)
        seed_failed, seed_exact, seed_conflicts = run_seed(story)
        rows += story.rows
        exact, conflicts = exact + seed_exact, conflicts + seed_conflicts
        if seed_failed:
            failed.append(seed if variant is None else f"{seed} {' '.join(variant)}")
        if seed_failed and arguments.keep:
            print(f"disks are in {directory}")
        else:
            shutil.rmtree(directory)
    seconds = (time.monotonic() - started) / len(stories)
    print(f"{len(stories)} rebases from seed {arguments.seed}, {seconds:.2f} s each: {exact} objects exactly as "
          f"expected, {conflicts} in conflict and named, failed: {failed or 'none'}")
    print("cases of the merge table:", merge_table.describe(rows), sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
