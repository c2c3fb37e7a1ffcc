#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A compressed master against its peers, on the same content: qcow2 with zstd, squashfs with zstd and erofs with
lz4hc, each holding the raw disk. First the size, then what a cold 4 KiB random read costs at queue depth 1.

Every read hits stored content, at a place that no read before it was near, with all caches dropped before the
run: it pays for one chunk. mica and qcow2 are read over NBD by the same client, squashfs and erofs as a file of
a kernel mount on a loop device; so NBD with the plain raw file (qemu-nbd) and the plain file itself are measured
too, and the third column is the cost above that: decompression and its bookkeeping.

  bench/peers/packed_peers.py --mica build/release/tools/mica --raw MASTER.raw [--dir DIR] [--rounds N]
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
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "tests", "support"))
import harness  # noqa: E402
from harness import mica, run  # noqa: E402

sys.path.insert(0, os.path.dirname(__file__))
from nbd_peers import QemuServer  # noqa: E402

BLOCK, SPREAD = 4096, 128 << 10  # reads are at least SPREAD apart: the largest chunk of any peer
NBD_FLOOR, FILE_FLOOR = "raw over NBD", "raw file"


def make_mica(raw, directory, level, chunk):
    path = os.path.join(directory, f"mica-{level}-{chunk}")
    mica("convert", "-f", "raw", "-O", "mica", raw, path)
    mica("seal", f"--compress={level}", "--chunk-size", chunk, path)
    return path


def make_qcow2(raw, directory):
    path = os.path.join(directory, "qcow2")
    run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "-o", "compression_type=zstd", raw, path)
    return path


def make_squashfs(raw, directory, block):
    path = os.path.join(directory, f"squashfs-{block}")
    run("mksquashfs", raw, path, "-comp", "zstd", "-Xcompression-level", "9", "-b", block, "-quiet", "-no-progress")
    return path


def make_erofs(raw, directory):
    path, tree = os.path.join(directory, "erofs"), os.path.join(directory, "tree")
    os.mkdir(tree)
    run("cp", "--sparse=always", raw, os.path.join(tree, os.path.basename(raw)))
    run("mkfs.erofs", "-zlz4hc", "-C32768", path, tree)
    run("rm", "-r", tree)
    return path


class Mounted:
    """A file system image on a loop device; gives the disk in it."""

    def __init__(self, image, directory, name):
        self.image, self.folder, self.name = image, os.path.join(directory, "mnt"), name

    def __enter__(self):
        os.makedirs(self.folder, exist_ok=True)
        run("mount", "-o", "loop,ro", self.image, self.folder)
        return os.path.join(self.folder, self.name)

    def __exit__(self, *_):
        run("umount", self.folder)


def drop_caches(*paths):
    """Of these files alone, where that is enough; of the mount they are in by remounting."""
    for path in paths:
        with open(path, "rb") as file:
            os.fdatasync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def places_of(image, count, seed):
    """Offsets of stored blocks, SPREAD apart, in random order; the same for all."""
    entries = json.loads(mica("map", "--json", image).stdout)
    places, last = [], -SPREAD
    for entry in entries:
        at = entry["start"]
        while entry["data"] and at + BLOCK <= entry["start"] + entry["length"]:
            if at - last >= SPREAD:
                places.append(at - at % BLOCK)
                last = at
            at += SPREAD
    generator = random.Random(seed)
    generator.shuffle(places)
    return places[:count]


def time_nbd(uri, places):
    handle = harness.import_nbd().NBD()
    handle.connect_uri(uri)
    begun = time.monotonic()
    for place in places:
        handle.pread(BLOCK, place)
    taken = time.monotonic() - begun
    handle.shutdown()
    return taken / len(places) * 1e6


def time_file(path, places):
    descriptor = os.open(path, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
    begun = time.monotonic()
    for place in places:
        os.pread(descriptor, BLOCK, place)
    taken = time.monotonic() - begun
    os.close(descriptor)
    return taken / len(places) * 1e6


def measure(name, path, directory, places, raw):
    drop_caches(path)
    if name.startswith("mica"):
        with harness.Server(directory, f"vm={path}") as server:
            return time_nbd(server.uri("vm"), places)
    if name.startswith("qcow2") or name == NBD_FLOOR:
        form = "raw" if name == NBD_FLOOR else "qcow2"
        with RawOrQcow2(directory, path, form) as server:
            return time_nbd(server.uri("vm"), places)
    if name == FILE_FLOOR:
        return time_file(path, places)
    with Mounted(path, directory, os.path.basename(raw)) as disk:
        return time_file(disk, places)


class RawOrQcow2(QemuServer):
    def __init__(self, directory, image, form):
        self.socket = os.path.join(directory, "peer.socket")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.socket)
        run("qemu-nbd", "--fork", "--read-only", "--persistent", f"--format={form}", "--pid-file",
            f"{self.socket}.pid", "--socket", self.socket, "--export-name=vm", image)
        with open(f"{self.socket}.pid", encoding="ascii") as file:
            self.pid = int(file.read())


def make_all(raw, directory):
    images = {NBD_FLOOR: raw, FILE_FLOOR: raw}
    for level, chunk in ((3, "32K"), (9, "16K"), (9, "32K"), (9, "64K")):
        images[f"mica zstd {level}, {chunk}"] = make_mica(raw, directory, level, chunk)
    images["qcow2 zstd, 64K"] = make_qcow2(raw, directory)
    images["squashfs zstd 9, 32K"] = make_squashfs(raw, directory, "32K")
    images["squashfs zstd 9, 128K"] = make_squashfs(raw, directory, "128K")
    images["erofs lz4hc, 32K"] = make_erofs(raw, directory)
    return images


def print_table(images, results, content):
    print(f"{content / 2**20:.0f} MiB of content\n")
    print(f"{'image':24} {'MiB':>7} {'ratio':>6} {'us a read':>10} {'above raw':>10}   round by round")
    for name, path in images.items():
        size = os.stat(path).st_blocks * 512
        cost = statistics.median(results[name])
        floor = NBD_FLOOR if name.startswith(("mica", "qcow2", NBD_FLOOR)) else FILE_FLOOR
        above = cost - statistics.median(results[floor])
        rounds = " ".join(f"{value:.0f}" for value in results[name])
        print(f"{name:24} {size / 2**20:7.1f} {content / size:6.2f} {cost:10.0f} {above:10.0f}   {rounds}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mica", default=harness.MICA, help="the program")
    parser.add_argument("--raw", required=True, help="a raw disk, for example story/master-v1.raw of a test run")
    parser.add_argument("--dir", default="/var/tmp", help="a folder on the file system to measure on")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reads", type=int, default=1000)
    arguments = parser.parse_args()
    harness.MICA = os.path.realpath(arguments.mica)
    harness.need_programs("qemu-img", "qemu-nbd", "mksquashfs", "mkfs.erofs")
    harness.need_root("mounts squashfs and erofs")
    with tempfile.TemporaryDirectory(prefix="mica-bench-", dir=arguments.dir) as directory:
        raw = os.path.join(directory, "disk.raw")
        subprocess.run(["cp", "--sparse=always", arguments.raw, raw], check=True)
        images = make_all(raw, directory)
        content = json.loads(mica("info", "--json", images["mica zstd 9, 32K"]).stdout)["compression"]["content-bytes"]
        results = {name: [] for name in images}
        for seed in range(1, arguments.rounds + 1):
            places = places_of(images["mica zstd 9, 32K"], arguments.reads, seed)
            for name, path in images.items():
                print(f"round {seed} of {arguments.rounds}: {name}", file=sys.stderr)
                results[name].append(measure(name, path, directory, places, raw))
        print_table(images, results, content)


if __name__ == "__main__":
    main()
