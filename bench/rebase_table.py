#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""rebase_table.py [--build DIR] [--work DIR]: what a rebase costs by its number of changes, beside what it replaces.

One disk of 200,000 files; a VM and a patched master with about 57, 650 and 11,400 changes each. In turns: the rebase by
steps; walks of both trees; a listing of both disks through the kernel and mica's server, compared as virt-diff
does (attributes; it needs an appliance, this does not); a safe `qemu-img rebase` of the same delta, which compares all
of both masters. Cold: the images are put out of the page cache before each run. Prints a Markdown table.

Root (loop mounts), a build with -DMICA_BENCH=ON, 25 GiB in --work; the images stay there and are used again.
"""

import argparse
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "support"))
STEPS = ("open", "diffs", "plan", "apply", "verify")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(HERE, "..", "build", "release"))
    parser.add_argument("--work", default=os.path.join(tempfile.gettempdir(), "mica-bench-rebase"))
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--changes", default="57,650,11400", help="numbers of changes, with commas")
    parser.add_argument("--rounds", type=int, default=5, help="medians are of so many")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.build = os.path.realpath(arguments.build)
    return arguments


def call(*command, accepted=(0,), **options):
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **options)
    if result.returncode not in accepted:
        sys.exit(f"{' '.join(map(str, command))}: exit status {result.returncode}\n{result.stdout}{result.stderr}")
    return result.stdout


def evict(*paths):
    """Puts files out of the page cache."""
    for path in paths:
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class Bench:
    """One number of changes."""

    def __init__(self, arguments, changes):
        self.arguments, self.changes = arguments, changes
        self.vm, self.onto = f"vm-{changes}.mica", f"v2-{changes}.mica"
        self.qcow2, self.v2_raw = f"vm-{changes}.qcow2", f"v2-{changes}.raw"

    def mica(self, *words, **options):
        return call(f"{self.arguments.build}/tools/mica", *words, **options)

    def make(self):
        print(f"images of {self.changes} changes ...", file=sys.stderr, flush=True)
        arguments = self.arguments
        call(f"{HERE}/rebase_images.sh", arguments.build, arguments.work, arguments.files, self.changes, arguments.seed)
        os.chdir(arguments.work)
        if not os.path.exists(self.v2_raw):
            self.mica("convert", "-q", "-O", "raw", self.onto, "making.raw")
            os.rename("making.raw", self.v2_raw)
        if not os.path.exists(self.qcow2):
            # An empty overlay on the VM's disk, moved to the master safely: what differs is then in it.
            self.mica("convert", "-q", "-O", "raw", self.vm, "vm.raw")
            call("qemu-img", "create", "-q", "-f", "qcow2", "-b", "vm.raw", "-F", "raw", "making.qcow2")
            call("qemu-img", "rebase", "-b", "v1.raw", "-F", "raw", "making.qcow2")
            os.unlink("vm.raw")
            os.rename("making.qcow2", self.qcow2)

    # --- The rebase.

    def rebase(self):
        """Seconds of one, by steps and from start to exit; how many objects either side changed."""
        for name in os.listdir("."):
            if name.startswith("out.mica"):
                call("rm", "-rf", name)
        started = time.monotonic()
        output = self.mica("rebase", self.vm, "--onto", self.onto, "-o", "out.mica", "--skip-check", "--json",
                           accepted=(0, 3))
        seconds = {"whole": time.monotonic() - started}
        summary = json.loads(output.splitlines()[-1])["summary"]
        text = next(value for value in summary.values() if isinstance(value, str) and "; seconds: " in value)
        for step in STEPS:
            numbers = re.search(rf"\b{step} ([0-9.]+)(?: \+ ([0-9.]+))?", text)
            seconds[step] = float(numbers[1]) + float(numbers[2] or 0)
        self.objects = re.match(r"(\d+) objects changed by the VM .*?(\d+) by the patch", text).groups()
        return seconds

    def rebases(self, cold):
        rounds = []
        for _ in range(self.arguments.rounds):
            if cold:
                evict("v1.raw", self.vm, self.onto)
            rounds.append(self.rebase())
        return {step: statistics.median(one[step] for one in rounds) for step in rounds[0]}

    def first_of_a_patch(self):
        """With what is kept beside the masters removed."""
        for name in os.listdir("."):
            if re.search(r"\.(index|changes)$", name) and name.startswith(("v1.raw", self.onto)):
                os.unlink(name)
        return self.rebase()

    # --- What it replaces.

    def walks(self):
        """Milliseconds of the delta-bounded diff, a walk of both trees' metadata, and one of all bytes."""
        text = call(f"{self.arguments.build}/bench/bench_rebase", "measure", self.vm, self.onto)
        return [float(re.search(rf"^{name} +([0-9.]+) ms", text, re.MULTILINE)[1]) / 1000
                for name in ("delta-bounded diff", "walk, metadata", "walk, all bytes")]

    def listing(self, cold):
        """Both trees listed with all attributes, and compared; the mounts are not counted."""
        with contextlib.ExitStack() as stack:
            roots = [stack.enter_context(mounted(disk)) for disk in ("v1.raw", stack.enter_context(self.served()))]
            if cold:
                evict("v1.raw", self.vm)
            started = time.monotonic()
            trees = [set(call("find", root, "-printf", "%P %y %m %U %G %s %T@ %n %l\\n").splitlines()) for root in roots]
            different = len(trees[0] ^ trees[1])
            return time.monotonic() - started, different

    @contextlib.contextmanager
    def served(self):
        """The VM's disk as a file, through the server."""
        os.environ["MICA"] = f"{self.arguments.build}/tools/mica"
        import harness  # reads MICA
        with tempfile.TemporaryDirectory() as directory, harness.Server(directory, f"vm={self.vm}") as server:
            mount = os.path.join(directory, "fuse")
            os.mkdir(mount)
            with subprocess.Popen(["nbdfuse", "--readonly", f"{mount}/disk", server.uri("vm")]):
                while not os.path.exists(f"{mount}/disk"):
                    time.sleep(0.01)
                yield f"{mount}/disk"
                call("fusermount3", "-u", mount)

    def qemu(self, cold):
        call("cp", self.qcow2, "out.qcow2")
        if cold:
            evict("v1.raw", self.v2_raw, "out.qcow2")
        started = time.monotonic()
        call("qemu-img", "rebase", "-b", self.v2_raw, "-F", "raw", "out.qcow2")
        seconds = time.monotonic() - started
        os.unlink("out.qcow2")
        return seconds


@contextlib.contextmanager
def mounted(disk):
    with tempfile.TemporaryDirectory() as root:
        call("mount", "-o", "loop,ro,noload", disk, root)
        try:
            yield root
        finally:
            call("umount", root)


def measure(bench):
    """A row as (name, cells)."""
    bench.make()
    print(f"measuring {bench.changes} changes ...", file=sys.stderr, flush=True)
    first = bench.first_of_a_patch()
    warm, cold = bench.rebases(cold=False), bench.rebases(cold=True)
    bounded, metadata, everything = bench.walks()
    listings = [bench.listing(cold=False), bench.listing(cold=False)[0], bench.listing(cold=True)[0]]
    qemu = [bench.qemu(cold=False), bench.qemu(cold=True)]

    def seconds(*values):
        return " / ".join(f"{value:.3f}" if value < 1 else f"{value:.2f}" for value in values)

    rows = [("objects changed by the VM / by the patch", " / ".join(bench.objects))]
    rows += [(f"{step}, warm / cold", seconds(warm[step], cold[step])) for step in STEPS]
    rows += [("**whole rebase**, warm / cold", seconds(warm["whole"], cold["whole"])),
             ("whole, first VM of a patch", seconds(first["whole"])),
             ("diff of the VM alone, delta-bounded", seconds(bounded)),
             ("walk of both trees, metadata / all bytes", seconds(metadata, everything)),
             ("listing of both disks, warm / cold", seconds(*listings[1:])),
             ("safe `qemu-img rebase`, warm / cold (the patch is lost)", seconds(*qemu)),
             ("that / whole rebase, warm / cold", f"{qemu[0] / warm['whole']:.0f} / {qemu[1] / cold['whole']:.0f}")]
    for name, value in rows:  # so that a later failure does not take them along
        print(f"  {name}: {value}", file=sys.stderr, flush=True)
    return rows


def main():
    arguments = parse_arguments()
    os.makedirs(arguments.work, exist_ok=True)
    columns = [measure(Bench(arguments, int(number))) for number in arguments.changes.split(",")]
    print(f"| seconds, {arguments.files:,} files | " + " | ".join(f"{int(number):,} changes" for number in
                                                               arguments.changes.split(",")) + " |")
    print("|---|" + "---|" * len(columns))
    for cells in zip(*columns):
        print(f"| {cells[0][0]} | " + " | ".join(value for _, value in cells) + " |")


if __name__ == "__main__":
    main()
