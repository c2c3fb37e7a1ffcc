#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Several connections to one export are one disk: what one wrote another reads, and a flush on one
covers what the others had acknowledged."""

import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import harness  # noqa: E402
from harness import Server, mica  # noqa: E402

nbd = harness.import_nbd()

BLOCK = 4096
BLOCKS = 512


class Connections(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.clone(self.sealed_master(BLOCKS * BLOCK))
        self.vm = f"vm={self.path('vm.mica')}"

    def test_each_reads_what_the_other_wrote(self):
        generator = random.Random(3)
        with Server(self.directory, self.vm) as server:
            pair = [server.connect("vm") for _ in range(2)]
            for _ in range(2000):
                writer, reader = generator.sample(pair, 2)
                offset = generator.randrange(BLOCKS * BLOCK - 8192)
                data = generator.randbytes(generator.choice((1, 512, 4096, 8192)))
                writer.pwrite(data, offset)
                self.assertEqual(reader.pread(len(data), offset), data)
            for handle in pair:
                handle.shutdown()

    def test_zero_and_trim_are_seen(self):
        with Server(self.directory, self.vm) as server:
            one, other = server.connect("vm"), server.connect("vm")
            one.pwrite(b"\xff" * 3 * BLOCK, 0)
            other.zero(BLOCK, 0)
            self.assertEqual(one.pread(2 * BLOCK, 0), bytes(BLOCK) + b"\xff" * BLOCK)
            one.trim(BLOCK, BLOCK)
            self.assertIn(other.pread(BLOCK, BLOCK), (bytes(BLOCK), b"\xff" * BLOCK))
            one.shutdown()
            other.shutdown()

    def test_flush_of_one_covers_all(self):
        with Server(self.directory, self.vm) as server:
            self.assertTrue(server.connect("vm").can_multi_conn())
            handles = [server.connect("vm") for _ in range(4)]
            for index, handle in enumerate(handles):
                handle.pwrite(bytes([index + 1]) * BLOCK, index * BLOCK)
            handles[0].flush()
            server.kill()
            server.process.returncode = 0  # wanted
        mica("check", self.path("vm.mica"))
        with Server(self.directory, self.vm) as server:
            handle = server.connect("vm")
            for index in range(len(handles)):
                self.assertEqual(handle.pread(BLOCK, index * BLOCK), bytes([index + 1]) * BLOCK)

    def test_many_exports_in_one_process(self):
        names = [f"vm{index}" for index in range(20)]
        for name in names:
            self.clone(self.path("master.raw"), f"{name}.mica")
        with Server(self.directory, *[f"{name}={self.path(name + '.mica')}" for name in names]) as server:
            handles = [server.connect(name) for name in names]
            for index, handle in enumerate(handles):
                handle.pwrite(bytes([index]) * BLOCK, 0)
            for index, handle in enumerate(handles):
                self.assertEqual(handle.pread(BLOCK, 0), bytes([index]) * BLOCK)


if __name__ == "__main__":
    harness.main()
