#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The NBD path over a unix socket and TCP: mica on a delta, qemu-nbd on a qcow2 overlay and nbdkit on a plain
file, over the same bytes, all of them in the page cache. Small reads at several depths, first and repeated writes,
streams, copies by nbdcopy, system calls per request.

The servers take turns within each job, so that what else the machine does hits all alike. How to read the ratios:
bench/README.md.

  bench/peers/nbd_matrix.py --mica build/release/tools/mica [--dir DIR] [--rounds N] [--seconds S] [--only TEXT]
"""

import argparse
import contextlib
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "tests", "support"))
import harness  # noqa: E402
from harness import run  # noqa: E402

DISK = 256 << 20
NAME = "vm"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Peer:
    """A server process with a unix socket and, where it can have both, a TCP port."""

    def __init__(self, directory, commands):
        self.processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                          for command in commands]
        self.directory = directory

    def wait_for(self, uri):
        for _ in range(500):
            if subprocess.run(["nbdinfo", "--size", uri], capture_output=True, check=False).returncode == 0:
                return
            time.sleep(0.02)
        raise AssertionError(f"{uri} does not answer")

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(timeout=60)


def start(kind, directory, master, transport):
    """Starts a server of a kind; returns it, its URI and the number of its process."""
    path = os.path.join(directory, f"{kind}.socket")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    port = free_port()
    unix = transport == "unix"
    if kind == "mica":
        image = os.path.join(directory, "vm.mica")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(image)
        harness.mica("clone", master, image)
        where = ["--socket", path] if unix else ["--listen", f"127.0.0.1:{port}"]
        command = [harness.MICA, "serve", *where, "--quiet", f"{NAME}={image}"]
    elif kind == "qemu-nbd":
        image = os.path.join(directory, "vm.qcow2")
        run("qemu-img", "create", "-q", "-f", "qcow2", "-b", master, "-F", "raw", image)
        where = ["--socket", path] if unix else ["--bind=127.0.0.1", f"--port={port}"]
        command = ["qemu-nbd", "--persistent", "--shared=0", "--format=qcow2", "--discard=unmap", *where,
                   f"--export-name={NAME}", image]
    else:
        image = os.path.join(directory, "vm.raw")
        run("cp", "--reflink=auto", master, image)
        where = ["-U", path] if unix else ["-i", "127.0.0.1", "-p", str(port)]
        command = ["nbdkit", "-f", *where, "file", image]
    uri = f"nbd+unix:///{NAME}?socket={path}" if unix else f"nbd://127.0.0.1:{port}/{NAME}"
    peer = Peer(directory, [command])
    peer.wait_for(uri)
    return peer, uri


def fio(uri, *options):
    """One job; returns operations per second."""
    with tempfile.TemporaryDirectory() as scratch:
        text = run("fio", "--name=job", "--ioengine=nbd", f"--uri={uri}", f"--size={DISK}", "--group_reporting",
                   "--output-format=json", *options, cwd=scratch).stdout
    job = json.loads(text[text.index("{"):])["jobs"][0]
    return max(job["read"]["iops"], job["write"]["iops"])


def jobs(seconds):
    timed = ("--time_based", f"--runtime={seconds}")
    read = ("--rw=randread", "--bs=4k", *timed)
    return {
        "4k read, depth 1": lambda uri: fio(uri, *read, "--iodepth=1"),
        "4k read, depth 32": lambda uri: fio(uri, *read, "--iodepth=32"),
        "4k read, depth 64": lambda uri: fio(uri, *read, "--iodepth=64"),
        "4k read, 4 x depth 16": lambda uri: fio(uri, *read, "--iodepth=16", "--numjobs=4"),
        "256k stream read": lambda uri: fio(uri, "--rw=read", "--bs=256k", "--iodepth=16", *timed),
        "1m stream read": lambda uri: fio(uri, "--rw=read", "--bs=1m", "--iodepth=8", *timed),
        "nbdcopy to null, MiB/s": nbdcopy,
        "4k first write": lambda uri: fio(uri, "--rw=randwrite", "--bs=4k", "--iodepth=32", "--end_fsync=1",
                                          f"--io_size={DISK // 8}"),
        "4k repeated write": lambda uri: fio(uri, "--rw=randwrite", "--bs=4k", "--iodepth=32", "--end_fsync=1",
                                             f"--io_size={DISK // 8}", "--randseed=1"),
        "256k stream write": lambda uri: fio(uri, "--rw=write", "--bs=256k", "--iodepth=16", "--end_fsync=1"),
    }


def nbdcopy(uri):
    begin = time.monotonic()
    run("nbdcopy", uri, "null:")
    return DISK / (time.monotonic() - begin) / (1 << 20)


def system_calls(peer, uri):
    """System calls of the server for each 4 KiB read at depth 16, and the most frequent ones."""
    with tempfile.NamedTemporaryFile("r") as report:
        tracer = subprocess.Popen(["strace", "-f", "-c", "-o", report.name, "-p", str(peer.processes[0].pid)],
                                  stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        requests = 20000
        fio(uri, "--rw=randread", "--bs=4k", "--iodepth=16", f"--io_size={requests * 4096}")
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
        rows = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", report.read(), re.M)
    calls = sorted(((int(count), name) for count, name in rows if name != "total"), reverse=True)
    return sum(count for count, _ in calls) / requests, ", ".join(
        f"{name} {count / requests:.2f}" for count, name in calls[:4])


def print_table(transport, results, kinds):
    print(f"\n{transport:24}" + "".join(f"{kind:>14}" for kind in kinds) +
          "".join(f"{'mica / ' + kind:>20}" for kind in kinds[1:]))
    for job, by_kind in results.items():
        row = f"{job:24}" + "".join(f"{statistics.median(by_kind[kind]):14,.0f}" for kind in kinds)
        for kind in kinds[1:]:
            ratios = [mine / other for mine, other in zip(by_kind["mica"], by_kind[kind])]
            row += f"{statistics.median(ratios):12.2f} ({min(ratios):.1f}-{max(ratios):.1f})"
        print(row, flush=True)


def measure(directory, master, transport, arguments):
    kinds = ["mica", "qemu-nbd", "nbdkit"]
    results = {}
    for _ in range(arguments.rounds):
        peers = {kind: start(kind, directory, master, transport) for kind in kinds}
        try:
            for job, measured in jobs(arguments.seconds).items():
                if arguments.only not in job:
                    continue
                for kind, (_, uri) in peers.items():
                    results.setdefault(job, {}).setdefault(kind, []).append(measured(uri))
        finally:
            for peer, _ in peers.values():
                peer.stop()
    print_table(transport, results, kinds)
    if transport == "unix" and arguments.calls:
        for kind in kinds:
            peer, uri = start(kind, directory, master, transport)
            total, most = system_calls(peer, uri)
            print(f"{kind}: {total:.2f} system calls per 4k read at depth 16 ({most})")
            peer.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mica", default=harness.MICA, help="the program")
    parser.add_argument("--dir", default="/var/tmp", help="a folder on the file system to measure on")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3, help="of each read job")
    parser.add_argument("--only", default="", help="jobs whose name has this")
    parser.add_argument("--calls", action="store_true", help="count system calls as well")
    parser.add_argument("--transports", default="unix,tcp")
    arguments = parser.parse_args()
    harness.MICA = os.path.realpath(arguments.mica)
    harness.need_programs("fio", "qemu-nbd", "qemu-img", "nbdkit", "nbdcopy", "nbdinfo", "strace")
    print(f"load of the machine when it began: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory(prefix="mica-bench-", dir=arguments.dir) as directory:
        master = os.path.join(directory, "master.raw")
        with open(master, "wb") as file:
            file.write(os.urandom(DISK))
        harness.mica("seal", master)
        for transport in arguments.transports.split(","):
            measure(directory, master, transport, arguments)


if __name__ == "__main__":
    main()
