#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A rebase that is killed, or told EIO or ENOSPC, at any of its calls that change a file: the VM has its old disk or
the new one, whole, and the same command then comes to the same end. So for a rebase from the start, for one that
is staged, once and again, and for one that finishes what was staged. Calls are counted in each process of the rebase
for itself, so that one number stops each of them somewhere.

  rebase_faults_test.py [--kinds K ...] [--points N] [--seed S]     N random points of each kind; 0: every one
"""

import argparse
import collections
import itertools
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import harness  # noqa: E402
import pool  # noqa: E402
from harness import mica, run  # noqa: E402

CALLS = ("pwrite64", "pwritev", "pwritev2", "fsync", "fdatasync", "rename", "renameat2", "link", "unlink",
         "mkdir", "rmdir", "ftruncate", "fallocate", "fchown", "fchmod", "openat")
# Calls of write(2) that wake another thread are left alone: only those to this file are counted.
WRITTEN = "vm.mica.rebasing.d/report.jsonl"
FAULTS = ("error=EIO", "error=ENOSPC", "signal=KILL")
DONE = 3  # the VMs here have conflicts
SECONDS_MAX, TIMED_OUT = 60, 124


class Place:
    """A pool with one VM, whose folder can be kept and put back."""

    def __init__(self, directory):
        self.pool = pool.Pool(directory)
        self.vm = self.pool.delta("vm.mica", *self.pool.owner_commands(0, 2))
        self.old = self.pool.tree_of(self.vm)
        self.new = None  # what a rebase of it gives

    def save(self, name):
        saved = self.pool.path(name)
        shutil.rmtree(saved, ignore_errors=True)
        run("cp", "-a", "--sparse=always", self.pool.vms, saved)
        return saved

    def restore(self, saved):
        """Into the same folder: a delta names its parent from there."""
        shutil.rmtree(self.pool.vms)
        run("cp", "-a", "--sparse=always", saved, self.pool.vms)

    def names(self):
        return sorted(os.listdir(self.pool.vms))

    def rooms(self):
        """Where a rebase works."""
        return [name for name in self.names() if ".rebasing" in name]

    def staged(self):
        """Deltas and snapshots of rebases that are still to be finished."""
        deltas = [name for name in self.names() if re.fullmatch(r"vm\.mica(\.(before|undone)-\d+)?", name)]
        return ([name for name in self.names() if ".staged-" in name]
                + [f"{name}@{snapshot}" for name in deltas for snapshot in self.snapshots(name)])

    def snapshots(self, name):
        listed = mica("snapshot", "-l", "--json", os.path.join(self.pool.vms, name)).stdout
        return [one["name"] for one in json.loads(listed)["snapshots"]]

    def parent(self):
        return os.path.basename(json.loads(mica("info", "--json", self.vm).stdout)["parent"]["path"])

    def attempt(self, *arguments, status=DONE):
        run(*self.command(*arguments), status=status)

    def command(self, *arguments):
        # No io_uring, whose writes are no calls.
        return [harness.MICA, "rebase", "--io=pread", *arguments, self.vm, "--onto", self.pool.v2]

    def expect_tree(self, tree, complaint):
        expect(self.pool.tree_of(self.vm) == tree, complaint)

    def expect_no_rooms(self):
        rooms = self.rooms()
        expect(not rooms, f"it leaves {rooms}")

    def expect_staged(self, *numbers):
        """By just one of these numbers; none: nothing."""
        staged = self.staged()
        wanted = [[f"vm.mica.staged-{number}", f"vm.mica@mica-staged-{number}"] for number in numbers]
        expect(staged in (wanted or [[]]), f"staged is {staged}")


def expect(condition, complaint):
    if not condition:
        raise AssertionError(complaint)


class Rebase:
    """From the start, of a VM that is off."""

    arguments = ()

    def __init__(self, place):
        self.place = place

    def prepare(self):
        """Makes the VM as it is before the command."""

    def judge(self, status):
        """Fails when something is wrong after a fault and this exit status."""
        place = self.place
        switched = place.parent() == "v2.raw"
        expect(switched or status not in (0, DONE), "it says that it is done, and is not")
        if switched:
            place.expect_tree(place.new, "the VM has neither its old nor its new disk")
            expect(os.path.exists(place.vm + ".report.jsonl"), "it is switched, and there is no report")
            place.attempt(status=2)  # it stands on the new master already: there is nothing to do but to clear up
            place.expect_no_rooms()
            mica("rollback", place.vm)
        place.expect_tree(place.old, "the VM has not its old disk")
        self.finish()

    def finish(self):
        """Comes to the end that a rebase without faults has, and leaves nothing."""
        self.place.attempt()
        self.place.expect_tree(self.place.new, "the next rebase does not come to the same end")
        self.place.expect_no_rooms()
        self.place.expect_staged()
        mica("check", self.place.vm)


class Stage(Rebase):
    """Of the part that is done ahead, from a snapshot."""

    arguments = ("--stage",)
    number = 1  # of what is staged when all is well

    def judge(self, status):
        place = self.place
        place.expect_tree(place.old, "the VM has not its old disk")
        if status in (0, DONE):
            place.expect_staged(self.number)
        after = place.save("after")
        place.attempt("--stage")
        place.expect_staged(1, 2, 3)
        place.expect_no_rooms()
        self.finish()
        place.restore(after)
        self.finish()  # with what is there
        place.restore(after)
        place.attempt("--unstage", status=0)
        place.expect_no_rooms()
        place.expect_staged()


class StageAgain(Stage):
    """When something is staged already, and the VM has changed since."""

    number = 2

    def prepare(self):
        work_on(self.place)


class Finish(Rebase):
    """Of what was staged."""

    def prepare(self):
        work_on(self.place)


KINDS = {"rebase": Rebase, "stage": Stage, "stage-again": StageAgain, "finish": Finish}


def work_on(place):
    """Stages the VM's rebase; then its owner does something."""
    place.attempt("--stage")
    later = place.pool.text("later\n" * 30)
    place.pool.change(place.vm, f"write {later} /home/later", "rm /home/mine0/own1",
                      *place.pool.replace("/home/mine0/own2", later))


class Faults:
    """Stops one kind of rebase at calls that it makes."""

    def __init__(self, directory, kind):
        self.place = Place(directory)
        self.kind = kind(self.place)
        self.kind.prepare()
        self.place.old = self.place.pool.tree_of(self.place.vm)
        self.begin = self.place.save("begin")
        self.place.new = self.rebased()
        assert self.place.old != self.place.new
        self.command = self.place.command(*kind.arguments)
        self.counts = self.count_calls("-e", "trace=" + ",".join(CALLS))
        self.counts |= self.count_calls(*self.options("write"))

    def rebased(self):
        """From the start, whatever is staged."""
        self.place.attempt("--unstage", status=0)
        self.place.attempt()
        return self.place.pool.tree_of(self.place.vm)

    def options(self, call):
        path = os.path.join(self.place.pool.vms, WRITTEN)
        return ("-e", f"trace={call}", *(("-P", path) if call == "write" else ()))

    def traced(self, *options):
        self.place.restore(self.begin)
        return subprocess.run(["timeout", str(SECONDS_MAX), "strace", "-f", "-qq", "-o", self.place.pool.path("strace.log"),
                               *options, *self.command], capture_output=True, text=True, check=False)

    def count_calls(self, *options):
        """The most that any one process makes of each call."""
        result = self.traced(*options)
        assert result.returncode == DONE, result.stderr
        counts = collections.Counter()
        with open(self.place.pool.path("strace.log"), encoding="utf-8", errors="replace") as file:
            for line in file:
                found = re.match(r"(\d+) +(\w+)\(", line)
                if found:
                    counts[found.groups()] += 1
        most = {}
        for (_, call), count in counts.items():
            most[call] = max(most.get(call, 0), count)
        return most

    def points(self, generator):
        """In random order, and each call once before any of them twice."""
        of_calls = []
        for call, count in self.counts.items():
            points = [(call, number, fault) for number in range(1, count + 1) for fault in FAULTS]
            of_calls.append(generator.sample(points, len(points)))
        generator.shuffle(of_calls)
        return [point for turn in itertools.zip_longest(*of_calls) for point in turn if point]

    def try_point(self, call, number, fault):
        result = self.traced(*self.options(call), "-e", f"inject={call}:{fault}:when={number}")
        if result.returncode == TIMED_OUT:
            return f"it takes more than {SECONDS_MAX} s"
        try:
            self.kind.judge(result.returncode)
        except AssertionError as problem:
            return str(problem)
        return None


def try_kind(name, arguments):
    """How many of its points failed."""
    with tempfile.TemporaryDirectory(prefix="mica-faults-") as directory:
        faults = Faults(directory, KINDS[name])
        points = faults.points(random.Random(arguments.seed))
        chosen = points[:arguments.points] if arguments.points else points
        failed = 0
        for point in chosen:
            problem = faults.try_point(*point)
            if problem:
                failed += 1
                print(f"{name} {point}: {problem}", flush=True)
    print(f"{name}, seed {arguments.seed}: {len(chosen)} of {len(points)} points, {failed} failed; "
          f"calls: {faults.counts}", flush=True)
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--points", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    harness.need_programs("strace", "mke2fs", "debugfs", "e2fsck")
    failed = sum(try_kind(name, arguments) for name in arguments.kinds)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
