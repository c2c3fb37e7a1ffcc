#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the server under load: the reopened image passes check, holds every acknowledged flush, and
every other block is one that was written to it.

The server has several deltas on one master, all written to at once. For each, the client writes blocks that name
themselves (block number, version) with 16 requests in flight on two connections, flushes now and then, and
remembers for each block the version that the last acknowledged flush (or FUA write) covers and the versions
written since.

Replay one seed with: kill_test.py --seed N [--rounds N]
"""

import argparse
import os
import random
import struct
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import harness  # noqa: E402
from harness import Server, mica  # noqa: E402

nbd = harness.import_nbd()

BLOCK = 4096
BLOCKS = 2048
IN_FLIGHT = 16


def content(block, version):
    if version == 0:
        return bytes(BLOCK)
    return struct.pack("<QQ", block, version) * (BLOCK // 16)


class Client:
    """Writes until the server dies. One instance per connection; each has half of the blocks."""

    def __init__(self, handle, seed, parity, durable):
        self.handle = handle
        self.random = random.Random(seed)
        self.parity = parity
        self.version = {}  # block -> last version sent
        self.acknowledged = {}  # block -> last version acknowledged
        self.durable = durable  # block -> last version that a flush or FUA made durable
        self.flushes = 0

    def write_some(self):
        """A burst of writes in flight together, to distinct blocks."""
        blocks = self.random.sample(range(self.parity, BLOCKS, 2), self.random.randint(1, IN_FLIGHT))
        pending = []
        for block in blocks:
            version = self.version.get(block, self.durable.get(block, 0)) + 1
            self.version[block] = version
            flags = nbd.CMD_FLAG_FUA if self.random.random() < 0.05 else 0
            buffer = nbd.Buffer.from_bytearray(bytearray(content(block, version)))
            cookie = self.handle.aio_pwrite(buffer, block * BLOCK, flags=flags)
            pending.append((cookie, block, version, flags, buffer))
        while pending:
            self.handle.poll(-1)
            pending = [entry for entry in pending if not self.completed(*entry[:4])]

    def completed(self, cookie, block, version, flags):
        if not self.handle.aio_command_completed(cookie):
            return False
        self.acknowledged[block] = version
        if flags:
            self.durable[block] = version
        return True

    def flush(self):
        covered = dict(self.acknowledged)
        self.handle.flush()
        self.durable.update(covered)
        self.flushes += 1

    def run(self):
        try:
            while True:
                self.write_some()
                if self.random.random() < 0.3:
                    self.flush()
        except nbd.Error:
            pass  # the server was killed


def verify(handle, clients):
    for client in clients:
        for block in range(client.parity, BLOCKS, 2):
            data = handle.pread(BLOCK, block * BLOCK)
            oldest, newest = client.durable.get(block, 0), client.version.get(block, 0)
            number, version = struct.unpack_from("<QQ", data)
            if version > max(oldest, newest) or version < oldest or data != content(block, version):
                raise AssertionError(f"block {block}: version {version} (of block {number}), flushed {oldest}, "
                                     f"last sent {newest}")
            client.durable[block] = version  # what is read after a restart is on stable storage


def run_round(directory, heads, seed, durable):
    """Serves all heads from one process, writes to them at once, kills it, reopens, verifies; returns the flushes
    seen and, per head, the versions now on disk."""
    exports = [f"{os.path.basename(head)}={head}" for head in heads]
    with Server(directory, *exports) as server:
        clients = [[Client(server.connect(os.path.basename(head)), (seed * len(heads) + number) * 2 + parity, parity,
                           {block: version for block, version in durable[number].items() if block % 2 == parity})
                    for parity in (0, 1)] for number, head in enumerate(heads)]
        threads = [threading.Thread(target=client.run) for pair in clients for client in pair]
        for thread in threads:
            thread.start()
        threads[0].join(timeout=random.Random(seed).uniform(0.05, 0.6))
        server.kill()
        for thread in threads:
            thread.join()
        server.process.returncode = 0  # wanted
    for head in heads:
        mica("check", head)
    with Server(directory, *exports) as server:
        for head, pair in zip(heads, clients):
            verify(server.connect(os.path.basename(head)), pair)
    flushes = sum(client.flushes for pair in clients for client in pair)
    return flushes, [pair[0].durable | pair[1].durable for pair in clients]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--heads", type=int, default=3, help="deltas on one master in one server")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mica-kill-") as directory:
        master = harness.make_raw(os.path.join(directory, "master.raw"), BLOCKS * BLOCK)
        heads = [os.path.join(directory, f"vm{number}.mica") for number in range(arguments.heads)]
        mica("seal", master)
        mica("clone", master, *heads)
        flushes, durable = 0, [{} for _ in heads]
        for seed in range(arguments.seed, arguments.seed + arguments.rounds):
            try:
                seen, durable = run_round(directory, heads, seed, durable)
            except AssertionError:
                print(f"failed in the round with seed {seed}; it began with --seed {arguments.seed}")
                raise
            flushes += seen
    print(f"{arguments.rounds} kills survived by {arguments.heads} heads, {flushes} acknowledged flushes held "
          f"(first seed {arguments.seed})")


if __name__ == "__main__":
    main()
