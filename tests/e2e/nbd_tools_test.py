#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""More of the NBD clients that users have: the small tools of libnbd, nbd-client, the storage daemon of QEMU, and
nbdkit's filters between a client and `mica serve`."""

import os
import random
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import harness  # noqa: E402
from harness import MICA, Server, mica, run  # noqa: E402

MIB = 1 << 20
SIZE = 32 * MIB
DATA = random.Random(5).randbytes(MIB)


class Clients(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.master = self.sealed_master(SIZE, DATA + bytes(MIB) + DATA)
        self.image = self.clone(self.master)

    def serve(self, *exports, **settings):
        return Server(self.directory, f"vm={self.image}", *exports, **settings)

    def expect_file(self, path):
        """The disk as it is now, read by a client that is none of these."""
        mica("check", self.image)
        mica("compare", self.image, path)


class SmallTools(Clients):
    def test_nbdinfo(self):
        with self.serve() as server:
            self.assertEqual(run("nbdinfo", "--size", server.uri("vm")).stdout.strip(), str(SIZE))
            run("nbdinfo", "--can", "fast-zero", server.uri("vm"))
            run("nbdinfo", "--is", "tls", server.uri("vm"), status=2)
            run("nbdinfo", "--is", "read-only", server.uri("vm"), status=2)
            depths = run("nbdinfo", "--map=qemu:allocation-depth", "--totals", server.uri("vm")).stdout
            self.assertIn("backing", depths)

    def test_nbddump(self):
        with self.serve() as server:
            first = run("nbddump", "--length=64", server.uri("vm")).stdout
        self.assertIn(" ".join(f"{byte:02x}" for byte in DATA[:8]), first)

    def test_nbdsh(self):
        script = """
h.set_request_structured_replies(False)
h.connect_uri(uri)
assert not h.get_structured_replies_negotiated()
h.pwrite(b"s" * 513, 511)
h.flush()
assert h.pread(515, 510)[1:514] == b"s" * 513
other = nbd.NBD()
other.set_opt_mode(True)
other.set_full_info(True)
other.set_export_name("vm")
other.connect_uri(uri)
names = []
other.opt_list(lambda name, description: names.append(name))
assert names == ["vm"], names
contexts = []
other.opt_list_meta_context(lambda name: contexts.append(name))
assert "base:allocation" in contexts, contexts
other.opt_info()
assert other.get_canonical_export_name() == "vm"
other.opt_abort()
"""
        with self.serve() as server:
            run("/usr/bin/python3", "-c", f"import nbd\nh = nbd.NBD()\nuri = '{server.uri('vm')}'\n{script}")

    def test_nbd_client_lists(self):
        port = harness.free_port()
        with self.serve(f"second={self.master}", options=("--listen", f"127.0.0.1:{port}")) as server:
            for place in (("127.0.0.1", port), ("-u", server.socket)):
                listed = run("nbd-client", "-l", *place).stdout.split()
                self.assertIn("vm:", listed)
                self.assertIn("second:", listed)

    def test_a_client_starts_the_server(self):
        server = ["--", "[", MICA, "serve", "-q", f"vm={self.image}", "]"]
        self.assertEqual(run("nbdinfo", "--size", *server).stdout.split()[-1], str(SIZE))  # behind our URI
        run("nbdcopy", *server, self.path("copy"))
        self.expect_file(self.path("copy"))

    def test_nbdfuse(self):
        if not os.path.exists("/dev/fuse"):
            self.skipTest("no /dev/fuse")
        mount = self.path("mount")
        os.mkdir(mount)
        with self.serve() as server, subprocess.Popen(["nbdfuse", mount, server.uri("vm")]) as fuse:
            file = os.path.join(mount, "nbd")
            for _ in range(1000):
                if os.path.exists(file):
                    break
                time.sleep(0.01)
            with open(file, "r+b") as disk:
                disk.seek(10 * MIB + 3)
                disk.write(DATA[:70_000])
            run("fusermount3", "-u", mount)
            self.assertEqual(fuse.wait(timeout=30), 0)
        flat = harness.make_raw(self.path("flat"), SIZE, DATA + bytes(MIB) + DATA)
        with open(flat, "r+b") as disk:
            disk.seek(10 * MIB + 3)
            disk.write(DATA[:70_000])
        self.expect_file(flat)


class Loads(Clients):
    def test_qemu_img_bench(self):
        with self.serve() as server:
            run("qemu-img", "bench", "-f", "raw", "-c", "4000", "-d", "16", "-s", "4096", server.uri("vm"))
            run("qemu-img", "bench", "-f", "raw", "-w", "-c", "2000", "-d", "16", "--flush-interval=64",
                server.uri("vm"))
        mica("check", self.image)

    def test_fio_trims(self):
        with self.serve() as server:
            run("fio", "--name=trim", "--ioengine=nbd", f"--uri={server.uri('vm')}", "--rw=trim", "--bs=64k",
                "--iodepth=8", "--size=4M", cwd=self.directory)
            extents = run("nbdinfo", "--map", "--totals", server.uri("vm")).stdout
        self.assertIn("zero", extents)
        mica("check", self.image)

    def test_storage_daemon(self):
        """The daemon as a client, offering what it reads and writes as an export of its own."""
        second = self.path("second")
        with self.serve() as server:
            command = ["qemu-storage-daemon", "--blockdev",
                       f"driver=nbd,node-name=n,server.type=unix,server.path={server.socket},export=vm",
                       "--nbd-server", f"addr.type=unix,addr.path={second}",
                       "--export", "type=nbd,id=e,node-name=n,name=again,writable=on"]
            with subprocess.Popen(command) as daemon:
                for _ in range(1000):
                    if os.path.exists(second):
                        break
                    time.sleep(0.01)
                uri = f"nbd+unix:///again?socket={second}"
                run("qemu-io", "-f", "raw", "-c", "write -P 7 1M 300k", "-c", "flush", "-c", "read -P 7 1M 300k", uri)
                run("nbdcopy", uri, self.path("copy"))
                daemon.terminate()
                self.assertEqual(daemon.wait(timeout=30), 0)
        self.expect_file(self.path("copy"))


class BetweenClientAndServer(Clients):
    """nbdkit's nbd plugin is a client of ours, with a filter over it."""

    def through(self, server, filters, settings, client):
        options = [f"--filter={name}" for name in filters]
        return run("nbdkit", "-U", "-", *options, "nbd", f"socket={server.socket}", "export=vm", *settings,
                   "--run", client)

    def test_requests_of_other_sizes(self):
        source = harness.make_raw(self.path("source"), SIZE, random.Random(6).randbytes(9 * MIB + 512))
        with self.serve() as server:
            self.through(server, ("fua", "blocksize"), ("fuamode=force", "minblock=4k", "maxdata=64k"),
                         f"nbdcopy --flush {source} \"$uri\"")
        self.expect_file(source)

    def test_what_is_written_is_there_already(self):
        """checkwrite compares each write with what a read gives."""
        source = harness.make_raw(self.path("source"), SIZE, DATA + bytes(MIB) + DATA)
        with self.serve() as server:
            self.through(server, ("checkwrite",), (), f"nbdcopy {source} \"$uri\"")
            with open(source, "r+b") as file:
                file.seek(MIB + 100)
                file.write(b"x")
            with self.assertRaises(AssertionError):
                self.through(server, ("checkwrite",), (), f"nbdcopy {source} \"$uri\"")

    def test_several_connections_and_statistics(self):
        with self.serve() as server:
            self.through(server, ("stats",), (f"statsfile={self.path('stats')}",),
                         f"nbdcopy -C 4 -R 64 \"$uri\" {self.path('copy')}")
        self.expect_file(self.path("copy"))
        with open(self.path("stats"), encoding="ascii") as file:
            self.assertIn("read:", file.read())


if __name__ == "__main__":
    harness.need_programs("nbdinfo", "nbdcopy", "nbddump", "nbdfuse", "nbd-client", "nbdkit", "qemu-img", "qemu-io",
                          "qemu-storage-daemon", "fio", "fusermount3")
    harness.import_nbd()
    harness.main()
