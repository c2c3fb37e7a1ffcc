#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""4 KiB random reads and first writes over NBD at queue depth 32: `mica serve` on a delta against qemu-nbd on
a qcow2 overlay, over the same raw master on the same file system.

The runs alternate (mica, peer, peer direct, mica, ...), so that what else the machine does hits all alike;
each round starts from fresh, empty overlays. How to read the ratios: bench/README.md.

  bench/peers/nbd_peers.py --mica build/release/tools/mica [--dir DIR] [--rounds N] [--seconds S]
"""

import argparse
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "tests", "support"))
import harness  # noqa: E402
from harness import run  # noqa: E402

MASTER_BYTES = 1 << 30
PEERS = {"qemu-nbd": (), "qemu-nbd, direct I/O": ("--cache=none", "--aio=native")}


class QemuServer:
    """qemu-nbd on one qcow2 overlay, with the interface of harness.Server that is used here."""

    def __init__(self, directory, overlay, options):
        self.socket = os.path.join(directory, "peer.socket")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.socket)
        run("qemu-nbd", "--fork", "--persistent", "--shared=0", "--format=qcow2", "--discard=unmap",
            "--pid-file", f"{self.socket}.pid", "--socket", self.socket, "--export-name=vm", *options, overlay)
        with open(f"{self.socket}.pid", encoding="ascii") as file:
            self.pid = int(file.read())

    def uri(self, export):
        return f"nbd+unix:///{export}?socket={self.socket}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.kill(self.pid, 15)
        while os.path.exists(f"/proc/{self.pid}"):
            with contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run(["tail", f"--pid={self.pid}", "--follow", "/dev/null"], timeout=1, check=False)


def make_master(path):
    """Random content: neither server can take a short cut for zeroes or for holes."""
    generator = random.Random(1)
    with open(path, "wb") as file:
        for _ in range(MASTER_BYTES >> 20):
            file.write(generator.randbytes(1 << 20))
    harness.mica("seal", path)


def fio(uri, seed, *options):
    """One fio job; returns operations per second and the 99th percentile of latency in microseconds."""
    with tempfile.TemporaryDirectory() as scratch:
        text = run("fio", "--name=job", "--ioengine=nbd", f"--uri={uri}", "--bs=4k", "--iodepth=32",
                   f"--randseed={seed}", "--output-format=json", f"--size={MASTER_BYTES}", *options,
                   cwd=scratch).stdout
    job = json.loads(text[text.index("{"):])["jobs"][0]
    side = max(job["read"], job["write"], key=lambda part: part["total_ios"])
    return side["iops"], side["clat_ns"]["percentile"]["99.000000"] / 1000


def measure(server, seed, seconds):
    """Reads of the untouched overlay, then first writes, then reads of a mix of both layers."""
    reading = ("--rw=randread", "--time_based", f"--runtime={seconds}")
    writing = ("--rw=randwrite", f"--io_size={MASTER_BYTES // 16}", "--end_fsync=1")
    return {
        "random read, master only": fio(server.uri("vm"), seed, *reading),
        "first write": fio(server.uri("vm"), seed, *writing),
        "random read, both layers": fio(server.uri("vm"), seed + 1, *reading),
    }


def measure_mica(directory, master, seed, seconds):
    delta = os.path.join(directory, "vm.mica")
    harness.mica("clone", master, delta)
    with harness.Server(directory, f"vm={delta}") as server:
        result = measure(server, seed, seconds)
    os.unlink(delta)
    return result


def measure_qemu(directory, master, seed, seconds, options):
    overlay = os.path.join(directory, "vm.qcow2")
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", master, "-F", "raw", overlay)
    with QemuServer(directory, overlay, options) as server:
        result = measure(server, seed, seconds)
    os.unlink(overlay)
    return result


def print_table(results):
    """results: server -> list of {job: (iops, p99)} by round."""
    print(f"\n{'job':28} {'server':24} {'kIOPS':>8} {'p99 us':>8}   mica / it, round by round")
    for job in results["mica"][0]:
        for server, rounds in results.items():
            iops = statistics.median(entry[job][0] for entry in rounds)
            latency = statistics.median(entry[job][1] for entry in rounds)
            ratios = [mine[job][0] / other[job][0] for mine, other in zip(results["mica"], rounds)]
            shown = "" if server == "mica" else (
                f"{statistics.median(ratios):.2f}  (" + " ".join(f"{ratio:.2f}" for ratio in ratios) + ")")
            print(f"{job:28} {server:24} {iops / 1000:8.1f} {latency:8.0f}   {shown}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mica", default=harness.MICA, help="the program")
    parser.add_argument("--dir", default="/var/tmp", help="a folder on the file system to measure on")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="of each read job")
    arguments = parser.parse_args()
    harness.MICA = os.path.realpath(arguments.mica)
    harness.need_programs("fio", "qemu-nbd", "qemu-img")
    results = {name: [] for name in ("mica", *PEERS)}
    with tempfile.TemporaryDirectory(prefix="mica-bench-", dir=arguments.dir) as directory:
        master = os.path.join(directory, "master.raw")
        make_master(master)
        for seed in range(1, arguments.rounds + 1):
            print(f"round {seed} of {arguments.rounds}", file=sys.stderr)
            results["mica"].append(measure_mica(directory, master, seed, arguments.seconds))
            for name, options in PEERS.items():
                results[name].append(measure_qemu(directory, master, seed, arguments.seconds, options))
    print_table(results)


if __name__ == "__main__":
    main()
