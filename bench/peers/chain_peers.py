#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""4 KiB random reads at queue depth 32 through chains of 1, 10, 30 and 100 parents: mica, and qcow2 by qemu-img bench.

All chains hold the same: a full master of 1 GiB, and a quarter as many blocks in the deltas, at random places, however
many deltas there are. The runs alternate over the depths and programs; the ratio of a depth is to depth 1 of the same
program in the same round. Then attach times and idle memory of mica (bench_chain.cc). How to read: bench/README.md.

  bench/peers/chain_peers.py --bench build/release/bench/bench_chain [--dir DIR] [--rounds N] [--seconds S]
"""

import argparse
import os
import random
import statistics
import subprocess
import tempfile

DEPTHS = (1, 10, 30, 100)
DISK_BYTES = 1 << 30
BLOCK = 4096
# qemu-img bench reads in steps; an odd number of blocks, far apart, visits all of them in no order.
STEP_BYTES = 100_003 * BLOCK


def run(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="ascii", **options).stdout


def make_qcow2(directory, depth):
    """The same shape as `bench_chain make`, with extended L2 entries, so that a 4 KiB write copies nothing."""
    os.mkdir(directory)
    generator = random.Random(depth)
    parent = f"{directory}/0"
    master = f"{directory}/master.raw"
    with open(master, "wb") as file:
        for _ in range(DISK_BYTES >> 20):
            file.write(generator.randbytes(1 << 20))
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", master, parent)
    os.unlink(master)
    for i in range(1, depth + 1):
        child = f"{directory}/{'head' if i == depth else i}"
        run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", parent, "-o",
            "cluster_size=128k,extended_l2=on", child)
        writes = "".join(f"write -q -P {generator.randrange(1, 256)} {generator.randrange(DISK_BYTES // BLOCK) * BLOCK} "
                         f"{BLOCK}\n" for _ in range(DISK_BYTES // BLOCK // 4 // depth))
        run("qemu-io", "-f", "qcow2", "-t", "unsafe", child, input=writes)
        parent = child


def read_qcow2(head, requests):
    """Requests per second; the first pass warms the page cache and qemu's own tables are per run."""
    output = run("qemu-img", "bench", "-f", "qcow2", "-t", "writeback", "-c", str(requests), "-d", "32", "-s", str(BLOCK),
                 "-S", str(STEP_BYTES), head)
    seconds = float(output.rsplit("completed in ", 1)[1].split()[0])
    return requests / seconds


def report(name, rates):
    base = rates[DEPTHS[0]]
    for depth in DEPTHS:
        ratios = [rate / first for rate, first in zip(rates[depth], base)]
        rounds = " ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"{name:6} depth {depth:3}: {statistics.median(rates[depth]):9.0f} reads/s   "
              f"{statistics.median(ratios):.2f} of depth 1   rounds {rounds}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", required=True, help="the program bench_chain")
    parser.add_argument("--dir", help="where the images are made (default: a temporary directory)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3, help="of each run")
    parser.add_argument("--deltas", type=int, default=1000, help="attached at once")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dir) as directory:
        for depth in DEPTHS:
            run(options.bench, "make", f"{directory}/mica-{depth}", str(depth))
            make_qcow2(f"{directory}/qcow2-{depth}", depth)
        mica = {depth: [] for depth in DEPTHS}
        qcow2 = {depth: [] for depth in DEPTHS}
        for depth in DEPTHS:
            read_qcow2(f"{directory}/qcow2-{depth}/head", 2 * DISK_BYTES // BLOCK)
        for _ in range(options.rounds):
            for depth in DEPTHS:
                mica[depth].append(float(run(options.bench, "read", f"{directory}/mica-{depth}/head", str(options.seconds))))
                qcow2[depth].append(read_qcow2(f"{directory}/qcow2-{depth}/head", int(options.seconds * 100_000)))
        report("mica", mica)
        report("qcow2", qcow2)
        for depth in DEPTHS:
            ratios = [ours / theirs for ours, theirs in zip(mica[depth], qcow2[depth])]
            print(f"mica / qcow2 at depth {depth:3}: {statistics.median(ratios):.2f}")
        print(run(options.bench, "attach", f"{directory}/attach"), end="")
        for count in (1, options.deltas):
            print(run(options.bench, "idle", f"{directory}/idle-{count}", str(count)), end="")


if __name__ == "__main__":
    main()
