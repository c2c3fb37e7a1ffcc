#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The engine against its peers, without servers: a mica delta, raw files with direct I/O through the same I/O
engine (written before, fallocated, sparse), and qcow2 overlays through `qemu-img bench`, all over the same raw
master on the same file system.

Every workload is run in turns by all of them, each round from fresh files, and printed as mica / peer. What is
wanted (docs: bench/README.md) stands beside it.

  bench/engine_table.py --build build/release [--dir DIR] [--rounds N] [--only WORD]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "tests", "support"))
import harness  # noqa: E402
from harness import run  # noqa: E402

MIB = 1 << 20
DISK = 256 * MIB
STRIDE = 40503  # odd: visits each of the 65,536 blocks once, scattered

# name: (what is done first, options of the measured run)
SCATTERED = {"block": 4096, "stride": STRIDE, "range": DISK}
WORKLOADS = {
    "first write, 4 KiB scattered, QD32": ((), ("write", {**SCATTERED, "depth": 32, "count": 65536})),
    "rewrite, 4 KiB scattered, QD32": (("write",), ("write", {**SCATTERED, "depth": 32, "count": 65536})),
    "write + flush, QD1": (("write",), ("write", {**SCATTERED, "depth": 1, "count": 3000, "flush": 1})),
    "flush every 64, QD32": (("write",), ("write", {**SCATTERED, "depth": 32, "count": 32768, "flush": 64})),
    "read, 4 KiB scattered, QD32": (("write",), ("read", {**SCATTERED, "depth": 32, "count": 65536})),
    "sequential write, 1 MiB, QD4": (
        (), ("write", {"block": MIB, "stride": 1, "range": DISK, "depth": 4, "count": 256})),
    "sequential read, 1 MiB, QD4": (
        ("sequential",), ("read", {"block": MIB, "stride": 1, "range": DISK, "depth": 4, "count": 256})),
    "sequential read after scattered writes": (
        ("write",), ("read", {"block": MIB, "stride": 1, "range": DISK, "depth": 4, "count": 256})),
}
PREPARE = {
    "write": ("write", {**SCATTERED, "depth": 32, "count": 65536}),
    "sequential": ("write", {"block": MIB, "stride": 1, "range": DISK, "depth": 4, "count": 256}),
}
# The target as mica / peer, where there is one.
TARGETS = {
    ("first write, 4 KiB scattered, QD32", "raw, written"): 1.0,
    ("rewrite, 4 KiB scattered, QD32", "raw, written"): 0.9,
    ("write + flush, QD1", "raw, written"): 0.9,
    ("flush every 64, QD32", "raw, written"): 0.9,
}


class Engine:
    """mica or a raw file through bench_engine."""

    def __init__(self, program, kind, make):
        self.program, self.kind, self.make = program, kind, make
        self.cpu_us = None  # of a request of the last run

    def measure(self, path, workload):
        direction, options = workload
        words = [f"{name}={value}" for name, value in options.items()]
        result = json.loads(run(self.program, self.kind, path, direction, *words).stdout)
        self.cpu_us = result["cpu_seconds"] / result["requests"] * 1e6
        return result["requests"] / result["seconds"]


class Qemu:
    cpu_us = None  # not known

    def __init__(self, make):
        self.make = make

    def measure(self, path, workload):
        direction, options = workload
        count, depth = options["count"], options["depth"]
        words = ["-f", "qcow2", "-t", "none", "-i", "native", "-c", count, "-d", depth, "-s", options["block"],
                 "-S", options["block"] * options["stride"] % options["range"]]
        if direction == "write":
            # One flush at the end counts, as with the others.
            words += ["-w", "--pattern=165", f"--flush-interval={options.get('flush') or count}"]
        text = run("qemu-img", "bench", *words, path).stdout
        return count / float(text.split("Run completed in ")[1].split(" ")[0])


def make_raw(path, _master, how):
    with open(path, "wb") as file:
        if how == "sparse":
            file.truncate(DISK)
        elif how == "fallocated":
            os.posix_fallocate(file.fileno(), 0, DISK)
        else:
            for _ in range(DISK // MIB):
                file.write(os.urandom(MIB))
            os.fsync(file.fileno())


def make_qcow2(path, master, extended):
    options = ["-o", "extended_l2=on,cluster_size=128k"] if extended else []
    run("qemu-img", "create", "-q", "-f", "qcow2", *options, "-b", master, "-F", "raw", path)


def contestants(program):
    def raw(how):
        return Engine(program, "raw", lambda path, master: make_raw(path, master, how))

    return {
        "mica": Engine(program, "mica", lambda path, master: harness.mica("clone", master, path)),
        "raw, written": raw("written"),
        "raw, fallocated": raw("fallocated"),
        "raw, sparse": raw("sparse"),
        "qcow2": Qemu(lambda path, master: make_qcow2(path, master, False)),
        "qcow2, extended L2": Qemu(lambda path, master: make_qcow2(path, master, True)),
    }


def one_run(directory, master, contestant, workload):
    before, measured = workload
    path = os.path.join(directory, "image")
    contestant.make(path, master)
    for step in before:
        contestant.measure(path, PREPARE[step])
    rate = contestant.measure(path, measured)
    os.unlink(path)
    return rate


def space(directory, master, contestant):
    """Bytes on the host per byte of the guest, after 4 KiB writes scattered over a quarter of the disk's blocks."""
    path = os.path.join(directory, "image")
    contestant.make(path, master)
    contestant.measure(path, ("write", {**SCATTERED, "depth": 32, "count": DISK // 4096 // 4}))
    allocated = os.stat(path).st_blocks * 512
    os.unlink(path)
    return allocated / (DISK // 4)


def show(name, results, peers):
    print(f"\n{name}")
    mine = results["mica"]
    for peer, rates in results.items():
        line = f"  {peer:20} {statistics.median(rates):10.0f} a second"
        cpu_us = peers[peer].cpu_us
        line += " " * 15 if cpu_us is None else f", {cpu_us:6.1f} us CPU"
        if peer != "mica":
            ratios = [a / b for a, b in zip(mine, rates)]
            wanted = TARGETS.get((name, peer))
            line += f"   mica / it {statistics.median(ratios):6.2f}  ({' '.join(f'{r:.2f}' for r in ratios)})"
            line += "" if wanted is None else f"  wanted {wanted}"
        print(line, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build/release", help="with bench/bench_engine and tools/mica")
    parser.add_argument("--dir", default="/var/tmp", help="a folder on the file system to measure on")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="workloads whose name has this word")
    arguments = parser.parse_args()
    harness.need_programs("qemu-img")
    harness.MICA = os.path.realpath(os.path.join(arguments.build, "tools", "mica"))
    peers = contestants(os.path.realpath(os.path.join(arguments.build, "bench", "bench_engine")))
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; "
          f"{subprocess.run(['qemu-img', '--version'], capture_output=True, text=True, check=True).stdout.split()[2]}")
    with tempfile.TemporaryDirectory(prefix="mica-bench-", dir=arguments.dir) as directory:
        master = os.path.join(directory, "master.raw")
        make_raw(master, None, "written")
        harness.mica("seal", master)
        for name, workload in WORKLOADS.items():
            if arguments.only not in name:
                continue
            results = {peer: [] for peer in peers}
            for _ in range(arguments.rounds):
                for peer, contestant in peers.items():
                    results[peer].append(one_run(directory, master, contestant, workload))
            show(name, results, peers)
        if arguments.only in "space":
            print("\nspace: host bytes per guest byte, after scattered 4 KiB writes (wanted: at most 1.05)")
            for peer, contestant in peers.items():
                print(f"  {peer:20} {space(directory, master, contestant):8.2f}")


if __name__ == "__main__":
    main()
