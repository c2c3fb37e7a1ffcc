#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The NBD path over a unix socket and TCP: mica on a delta, qemu-nbd on a qcow2 overlay and nbdkit on a plain
file, over the same bytes, all of them in the page cache. Small reads at several depths, first and repeated writes,
streams, copies by nbdcopy in clear and through TLS; with --calls system calls per request, with --bench the reads of
one connection beside a server without a disk.

The servers take turns within each job, so that what else the machine does hits all alike. How to read the ratios:
bench/README.md.

  bench/peers/nbd_matrix.py --mica build/release/tools/mica [--bench build/release/bench] [--calls] [--dir DIR]
                            [--rounds N] [--seconds S] [--only TEXT]
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
KINDS = ("mica", "qemu-nbd", "nbdkit")
USER, KEY = "bench", "9f" * 32  # of TLS with a pre-shared key


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
            if any(process.poll() is not None for process in self.processes):
                raise AssertionError(f"{self.processes[0].args} has ended")
            if subprocess.run(["nbdinfo", "--size", uri], capture_output=True, check=False).returncode == 0:
                return
            time.sleep(0.02)
        raise AssertionError(f"{uri} does not answer")

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(timeout=60)


def masters(directory):
    """One for each server that wants one: mica and QEMU do not let each other have the same file."""
    paths = {kind: os.path.join(directory, f"{kind}.raw") for kind in KINDS}
    with open(paths["mica"], "wb") as file:
        file.write(os.urandom(DISK))
    for kind in KINDS[1:]:
        run("cp", "--reflink=auto", paths["mica"], paths[kind])
    harness.mica("seal", paths["mica"])
    return paths


def fresh_image(kind, directory, master):
    image = os.path.join(directory, f"vm.{kind}")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(image)
    if kind == "mica":
        harness.mica("clone", master, image)
    elif kind == "qemu-nbd":
        run("qemu-img", "create", "-q", "-f", "qcow2", "-b", master, "-F", "raw", image)
    else:
        run("cp", "--reflink=auto", master, image)
    return image


def start(kind, directory, master, transport):
    """Starts a server of a kind over "unix", "tcp" or "tls" (through a unix socket); returns it and its URI."""
    path, keys = os.path.join(directory, f"{kind}.socket"), os.path.join(directory, "keys.psk")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    port, image = free_port(), fresh_image(kind, directory, master)
    tcp, tls = transport == "tcp", transport == "tls"
    if tls:
        with open(keys, "w", encoding="ascii") as file:
            file.write(f"{USER}:{KEY}\n")
    if kind == "mica":
        command = [harness.MICA, "serve", *(("--listen", f"127.0.0.1:{port}") if tcp else ("--socket", path)),
                   *(("--tls-psk", keys) if tls else ()), "--quiet", f"{NAME}={image}"]
    elif kind == "qemu-nbd":
        command = ["qemu-nbd", "--persistent", "--shared=0", "--format=qcow2", "--discard=unmap",
                   *(("--bind=127.0.0.1", f"--port={port}") if tcp else ("--socket", path)),
                   *((f"--object=tls-creds-psk,id=t,endpoint=server,dir={directory}", "--tls-creds=t") if tls else ()),
                   f"--export-name={NAME}", image]
    else:
        command = ["nbdkit", "-f", *(("-i", "127.0.0.1", "-p", str(port)) if tcp else ("-U", path)),
                   *(("--tls=require", f"--tls-psk={keys}") if tls else ()), "file", image]
    uri = f"nbd://127.0.0.1:{port}/{NAME}" if tcp else f"nbd+unix:///{NAME}?socket={path}"
    if tls:
        uri = f"nbds+unix://{USER}@/{NAME}?socket={path}&tls-psk-file={keys}"
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
    # The same blocks in the first and in the second job that uses it.
    write = ("--rw=randwrite", "--bs=4k", "--iodepth=32", "--end_fsync=1", f"--io_size={DISK // 8}", "--randseed=1")
    return {
        "4k read, depth 1": lambda uri: fio(uri, *read, "--iodepth=1"),
        "4k read, depth 32": lambda uri: fio(uri, *read, "--iodepth=32"),
        "4k read, depth 64": lambda uri: fio(uri, *read, "--iodepth=64"),
        "4k read, 4 x depth 16": lambda uri: fio(uri, *read, "--iodepth=16", "--numjobs=4"),
        "256k stream read": lambda uri: fio(uri, "--rw=read", "--bs=256k", "--iodepth=16", *timed),
        "1m stream read": lambda uri: fio(uri, "--rw=read", "--bs=1m", "--iodepth=8", *timed),
        "nbdcopy to null, MiB/s": nbdcopy,
        "4k first write": lambda uri: fio(uri, *write),
        "4k repeated write": lambda uri: fio(uri, *write),
        "4k write, each flushed": lambda uri: fio(uri, "--rw=randwrite", "--bs=4k", "--iodepth=1", "--fsync=1", *timed),
        "256k stream write": lambda uri: fio(uri, "--rw=write", "--bs=256k", "--iodepth=16", "--end_fsync=1"),
        "1m stream write": lambda uri: fio(uri, "--rw=write", "--bs=1m", "--iodepth=8", "--end_fsync=1"),
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


def measure(directory, sources, transport, arguments):
    results = {}
    chosen = {"nbdcopy to null, MiB/s": nbdcopy} if transport == "tls" else jobs(arguments.seconds)
    for _ in range(arguments.rounds):
        peers = {}
        try:
            for kind in KINDS:
                peers[kind] = start(kind, directory, sources[kind], transport)
            for job, measured in chosen.items():
                if arguments.only not in job:
                    continue
                for kind, (_, uri) in peers.items():
                    results.setdefault(job, {}).setdefault(kind, []).append(measured(uri))
        finally:
            for peer, _ in peers.values():
                peer.stop()
    print_table(transport, results, KINDS)


def count_calls(directory, sources):
    for kind in KINDS:
        peer, uri = start(kind, directory, sources[kind], "unix")
        total, most = system_calls(peer, uri)
        print(f"{kind}: {total:.2f} system calls per 4k read at depth 16 ({most})", flush=True)
        peer.stop()


def one_connection(directory, master, arguments):
    """4 KiB reads a second of one connection, by a client that costs nothing: mica, and its NBD path without a disk."""
    null_path = os.path.join(directory, "null.socket")
    null = Peer(directory, [[os.path.join(arguments.bench, "bench_nbd_null"), "--socket", null_path]])
    null.wait_for(f"nbd+unix:///disk?socket={null_path}")
    peer, _ = start("mica", directory, master, "unix")
    paths = {"null": null_path, "mica": os.path.join(directory, "mica.socket")}
    try:
        for depth in (1, 16, 64):
            rates = {name: [] for name in paths}
            for _ in range(arguments.rounds):
                for name, path in paths.items():
                    text = run(os.path.join(arguments.bench, "bench_nbd_load"), path, depth, 100_000).stdout
                    rates[name].append(float(re.search(r"([\d.]+) reads/s", text).group(1)))
            ratios = [mine / other for mine, other in zip(rates["mica"], rates["null"])]
            print(f"one connection, depth {depth}: mica {statistics.median(rates['mica']):,.0f} reads/s, without a disk "
                  f"{statistics.median(rates['null']):,.0f}, ratio {statistics.median(ratios):.2f}", flush=True)
    finally:
        peer.stop()
        null.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mica", default=harness.MICA, help="the program")
    parser.add_argument("--dir", default="/var/tmp", help="a folder on the file system to measure on")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3, help="of each read job")
    parser.add_argument("--only", default="", help="jobs whose name has this")
    parser.add_argument("--calls", action="store_true", help="count system calls as well")
    parser.add_argument("--bench", help="the folder of bench_nbd_null and bench_nbd_load")
    parser.add_argument("--transports", default="unix,tcp,tls")
    arguments = parser.parse_args()
    harness.MICA = os.path.realpath(arguments.mica)
    harness.need_programs("fio", "qemu-nbd", "qemu-img", "nbdkit", "nbdcopy", "nbdinfo", "strace")
    print(f"load of the machine when it began: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory(prefix="mica-bench-", dir=arguments.dir) as directory:
        sources = masters(directory)
        for transport in filter(None, arguments.transports.split(",")):
            measure(directory, sources, transport, arguments)
        if arguments.calls:
            count_calls(directory, sources)
        if arguments.bench:
            one_connection(directory, sources["mica"], arguments)


if __name__ == "__main__":
    main()
