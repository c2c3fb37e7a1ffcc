#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The NBD clients that users have, against `mica serve`: nbdinfo, nbdcopy, qemu-img, qemu-io, fio."""

import filecmp
import json
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import harness  # noqa: E402
from harness import Server, mica, run  # noqa: E402

MIB = 1 << 20
SIZE = 64 * MIB
CAPABILITIES = ("connect", "flush", "fua", "multi-conn", "df", "trim", "zero", "cache", "read",
                "write", "structured-reply")


def patterned_master(case):
    """A sealed master: 1 MiB of random data, 7 MiB of nothing, 1 MiB of random data, the rest nothing."""
    data = random.Random(7).randbytes(2 * MIB)
    return case.sealed_master(SIZE, data[:MIB] + bytes(7 * MIB) + data[MIB:])


class Information(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.master = patterned_master(self)
        self.clone(self.master)

    def test_json(self):
        with Server(self.directory, f"vm={self.path('vm.mica')}", f"master={self.master}") as server:
            reply = json.loads(run("nbdinfo", "--json", server.uri("vm")).stdout)
            export = reply["exports"][0]
            self.assertEqual(reply["protocol"], "newstyle-fixed")
            self.assertEqual(export["export-size"], SIZE)
            self.assertFalse(export["is_read_only"])
            self.assertTrue(export["can_multi_conn"])
            self.assertIn("base:allocation", export["contexts"])
            listed = json.loads(run("nbdinfo", "--json", "--list", server.uri("")).stdout)
            self.assertEqual({entry["export-name"] for entry in listed["exports"]}, {"vm", "master"})
            sealed = json.loads(run("nbdinfo", "--json", server.uri("master")).stdout)["exports"][0]
            self.assertTrue(sealed["is_read_only"])

    def test_capabilities(self):
        with Server(self.directory, f"vm={self.path('vm.mica')}", f"master={self.master}") as server:
            for capability in CAPABILITIES:
                with self.subTest(capability=capability):
                    run("nbdinfo", "--can", capability, server.uri("vm"))
            for capability in ("write", "trim", "zero"):
                with self.subTest(capability=capability, export="master"):
                    run("nbdinfo", "--can", capability, server.uri("master"), status=2)

    def test_map(self):
        with Server(self.directory, f"vm={self.path('vm.mica')}") as server:
            extents = json.loads(run("nbdinfo", "--json", "--map", server.uri("vm")).stdout)
            self.assertEqual(extents[0]["offset"], 0)
            self.assertEqual(sum(extent["length"] for extent in extents), SIZE)
            data = sum(extent["length"] for extent in extents if extent["type"] == 0)
            self.assertLessEqual(data, 9 * MIB)
            self.assertGreaterEqual(data, 2 * MIB)
            run("nbdinfo", "--map", "--totals", server.uri("vm"))
            run("qemu-img", "map", "--output=json", "-f", "raw", server.uri("vm"))

    def test_unknown_export(self):
        with Server(self.directory, f"vm={self.path('vm.mica')}") as server:
            run("nbdinfo", server.uri("nothing"), status=1)


class Copy(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.clone(self.sealed_master(SIZE))
        self.source = harness.make_raw(self.path("source"), SIZE, random.Random(9).randbytes(20 * MIB + 512))

    def test_both_ways(self):
        with Server(self.directory, f"vm={self.path('vm.mica')}") as server:
            run("nbdcopy", "--flush", self.source, server.uri("vm"))
            run("nbdcopy", "-C", "4", "-R", "64", "-S", "0", server.uri("vm"), self.path("parallel"))
            run("nbdcopy", "--synchronous", server.uri("vm"), self.path("synchronous"))
            run("qemu-img", "compare", "-f", "raw", "-F", "raw", self.source, server.uri("vm"))
        self.assertTrue(filecmp.cmp(self.source, self.path("parallel"), shallow=False))
        self.assertTrue(filecmp.cmp(self.source, self.path("synchronous"), shallow=False))
        mica("check", self.path("vm.mica"))
        mica("compare", self.source, self.path("vm.mica"))

    def test_between_exports(self):
        mica("clone", self.path("master.raw"), self.path("second.mica"))
        exports = [f"vm={self.path('vm.mica')}", f"second={self.path('second.mica')}"]
        with Server(self.directory, *exports) as server:
            run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", self.source, server.uri("vm"))
            run("nbdcopy", server.uri("vm"), server.uri("second"))
            run("qemu-img", "compare", "-f", "raw", "-F", "raw", server.uri("vm"), server.uri("second"))


class Patterns(harness.TestCase):
    def test_qemu_io(self):
        master = patterned_master(self)
        self.clone(master)
        commands = [
            "write -P 0xaa 0 64k", "read -P 0xaa 0 64k", "write -P 0xbb 512 1k", "read -P 0xaa 0 512",
            "read -P 0xbb 512 1k", "read -P 0xaa 1536 62k", "write -z -u 128k 64k", "read -P 0 128k 64k",
            "write -z 200k 7k", "read -P 0 200k 7k", "discard 256k 64k", "writev -f -P 5 1M 4k 8k 512",
            "read -P 5 1M 12800", "aio_write -P 7 2M 1M", "aio_write -P 8 4M 1M", "aio_flush",
            "read -P 7 2M 1M", "read -P 8 4M 1M", "write -P 9 67108352 512", "read -P 9 67108352 512",
            "flush",
        ]
        with Server(self.directory, f"vm={self.path('vm.mica')}") as server:
            run("qemu-io", "-f", "raw", *[word for command in commands for word in ("-c", command)],
                server.uri("vm"))
        with Server(self.directory, f"vm={self.path('vm.mica')}") as server:
            reread = [command for command in commands if command.startswith("read")][-4:]
            run("qemu-io", "-r", "-f", "raw", *[word for command in reread for word in ("-c", command)],
                server.uri("vm"))
        mica("check", self.path("vm.mica"))

    def test_fio_verify(self):
        self.clone(self.sealed_master(SIZE))
        with Server(self.directory, f"vm={self.path('vm.mica')}") as server:
            for block_bytes in (512, 4096, 20480):
                run("fio", "--name=verify", "--ioengine=nbd", f"--uri={server.uri('vm')}", "--rw=randrw",
                    f"--bs={block_bytes}", "--iodepth=32", f"--size={block_bytes * 2400}", "--verify=crc32c",
                    "--verify_fatal=1", "--do_verify=1", "--randseed=11", cwd=self.directory)
        mica("check", self.path("vm.mica"))


if __name__ == "__main__":
    harness.need_programs("nbdinfo", "nbdcopy", "qemu-img", "qemu-io", "fio")
    harness.main()
