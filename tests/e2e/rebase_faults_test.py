#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A rebase that is killed, or told EIO or ENOSPC, at any of its calls that change a file: the VM has its old disk or
the new one, whole, and the same command then comes to the same end. Calls are counted in each process of the rebase
for itself, so that one number stops each of them somewhere.

  rebase_faults_test.py [--points N] [--seed S]     N random points of all there are; 0: every one
"""

import argparse
import collections
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
from harness import mica  # noqa: E402

CALLS = ("pwrite64", "pwritev", "pwritev2", "fsync", "fdatasync", "rename", "renameat2", "link", "unlink",
         "mkdir", "ftruncate", "fallocate", "fchown", "fchmod", "openat")
# Calls of write(2) that wake another thread are left alone: only those to this file are counted.
WRITTEN = "vm.mica.rebasing.d/report.jsonl"
FAULTS = ("error=EIO", "error=ENOSPC", "signal=KILL")


class Faults:
    def __init__(self, directory):
        self.pool = pool.Pool(directory)
        self.vm = self.pool.delta("vm.mica", *self.pool.owner_commands(0, 2))
        self.saved = self.pool.path("saved.mica")
        shutil.copy(self.vm, self.saved)
        self.old = self.pool.tree_of(self.vm)
        # No io_uring, whose writes are no calls.
        self.command = [harness.MICA, "rebase", "--io=pread", self.vm, "--onto", self.pool.v2]
        self.counts = self.count_calls("-e", "trace=" + ",".join(CALLS))
        self.reset()
        self.counts |= self.count_calls(*self.options("write"))
        self.new = self.pool.tree_of(self.vm)
        assert self.old != self.new
        self.reset()

    def reset(self):
        for name in os.listdir(self.pool.vms):
            path = os.path.join(self.pool.vms, name)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
        # The delta names its parent from its folder.
        shutil.copy(self.saved, self.vm)

    def options(self, call):
        return ("-e", f"trace={call}", *(("-P", os.path.join(self.pool.vms, WRITTEN)) if call == "write" else ()))

    def traced(self, *options):
        return subprocess.run(["strace", "-f", "-qq", "-o", self.pool.path("strace.log"), *options, *self.command],
                              capture_output=True, text=True, check=False, timeout=60)

    def count_calls(self, *options):
        """The most that any one process makes of each call."""
        result = self.traced(*options)
        assert result.returncode == 3, result.stderr
        counts = collections.Counter()
        with open(self.pool.path("strace.log"), encoding="utf-8", errors="replace") as file:
            for line in file:
                found = re.match(r"(\d+) +(\w+)\(", line)
                if found:
                    counts[found.groups()] += 1
        most = {}
        for (_, call), count in counts.items():
            most[call] = max(most.get(call, 0), count)
        return most

    def points(self):
        for call, count in self.counts.items():
            for number in range(1, count + 1):
                for fault in FAULTS:
                    yield call, number, fault

    def parent(self):
        return os.path.basename(json.loads(mica("info", "--json", self.vm).stdout)["parent"]["path"])

    def try_point(self, call, number, fault):
        result = self.traced(*self.options(call), "-e", f"inject={call}:{fault}:when={number}")
        switched = self.parent() == "v2.raw"
        if result.returncode in (0, 3) and not switched:
            return "it says that it is done, and is not"
        if self.pool.tree_of(self.vm) != (self.new if switched else self.old):
            return "the VM has neither its old nor its new disk"
        if switched and not os.path.exists(self.vm + ".report.jsonl"):
            return "it is switched, and there is no report"
        again = subprocess.run(self.command, capture_output=True, text=True, check=False)
        if again.returncode != (2 if switched else 3):
            return f"again: exit status {again.returncode}: {again.stderr}"
        if self.pool.tree_of(self.vm) != self.new:
            return "the second attempt does not come to the same end"
        left = [name for name in os.listdir(self.pool.vms) if "rebasing" in name]
        return f"it leaves {left}" if left and not switched else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    harness.need_programs("strace", "mke2fs", "debugfs", "e2fsck")
    with tempfile.TemporaryDirectory(prefix="mica-faults-") as directory:
        faults = Faults(directory)
        points = list(faults.points())
        chosen = points
        if arguments.points:
            chosen = random.Random(arguments.seed).sample(points, min(arguments.points, len(points)))
        failed = 0
        for point in chosen:
            problem = faults.try_point(*point)
            if problem:
                failed += 1
                print(f"{point}: {problem}", flush=True)
            faults.reset()
    print(f"seed {arguments.seed}: {len(chosen)} of {len(points)} points, {failed} failed; calls: {faults.counts}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
