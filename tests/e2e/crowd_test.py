#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Crowds and slow clients: the memory of the server stays bounded and everybody else is served."""

import json
import os
import re
import resource
import socket
import ssl
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import harness  # noqa: E402
from certificates import CertificateMaker  # noqa: E402
from harness import Server, mica  # noqa: E402

DISK = 128 << 20
MIB = 1 << 20


def request(command, offset, length, cookie=1):
    return struct.pack(">IHHQQI", 0x25609513, 0, command, cookie, offset, length)


class Crowd(CertificateMaker, harness.TestCase):
    def setUp(self):
        super().setUp()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        master = self.sealed_master(DISK)
        for name in ("a", "b"):
            self.clone(master, f"{name}.mica")

    def serve(self, limits="", more=""):
        exports = "".join(f'[[export]]\nfile = "{self.path(name + ".mica")}"\nconnections = 2000\n' for name in "ab")
        with open(self.path("serve.toml"), "w", encoding="utf-8") as file:
            file.write(f"threads = 2\n{more}\n[limits]\n{limits}\n{exports}")
        control = ("--control", self.path("control"))
        return Server(self.directory, options=("--config", self.path("serve.toml"), "--quiet", *control))

    def wait_for_connections(self, count):
        """A client that hung up is counted until the server has noticed."""
        begin = time.monotonic()
        while (now := self.connections()) != count:
            self.assertLess(time.monotonic() - begin, 10, f"{now} connections instead of {count}")

    def connections(self):
        return json.loads(mica("ctl", "--control", self.path("control"), "stat", "--json").stdout)["connections"]

    def connect(self, server, export=None):
        """A socket after the greeting, or in transmission with simple replies."""
        client = socket.socket(socket.AF_UNIX)
        self.addCleanup(client.close)
        client.settimeout(30)
        client.connect(server.socket)
        if export is not None:
            self.receive(client, 18)
            client.sendall(struct.pack(">I", 3) + self.export_name(export))
            self.receive(client, 10)
        return client

    def connect_encrypted(self, server, export):
        """In transmission, over TLS."""
        client = self.connect(server)
        self.receive(client, 18)
        client.sendall(struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", 5, 0))
        self.receive(client, 20)
        client = self.tls.wrap_socket(client, server_hostname="localhost")
        self.addCleanup(client.close)
        client.sendall(self.export_name(export))
        self.receive(client, 10)
        return client

    @staticmethod
    def export_name(export):
        name = export.encode()
        return b"IHAVEOPT" + struct.pack(">II", 1, len(name)) + name

    @staticmethod
    def receive(client, count):
        while count > 0:
            count -= len(client.recv(count))

    @staticmethod
    def resident(server):
        with open(f"/proc/{server.process.pid}/status", encoding="ascii") as file:
            return int(re.search(r"VmRSS:\s+(\d+) kB", file.read()).group(1)) << 10

    def assert_served(self, server, export, seconds=5):
        begin = time.monotonic()
        handle = server.connect(export)
        for offset in range(0, 4 * MIB, 64 << 10):
            handle.pwrite(b"\x01" * 4096, offset)
            handle.pread(4096, offset)
        handle.flush()
        handle.shutdown()
        self.assertLess(time.monotonic() - begin, seconds)

    def test_a_thousand_idle_connections(self):
        with self.serve("connections = 1010") as server:
            self.assert_served(server, "a")
            before = self.resident(server)
            crowd = [self.connect(server) for _ in range(500)]
            crowd += [self.connect(server, "ab"[index % 2]) for index in range(500)]
            self.assert_served(server, "a")
            grown = self.resident(server) - before
            print(f"1,000 idle connections: {grown / 1000 / 1024:.0f} KiB each", file=sys.stderr)
            self.assertLess(grown, 64 * MIB)
            self.wait_for_connections(1000)
            crowd += [self.connect(server) for _ in range(30)]
            self.assertEqual(sum(self.is_refused(client) for client in crowd[-30:]), 20)

    @staticmethod
    def is_refused(client):
        try:
            return client.recv(18) == b""
        except ConnectionError:
            return True

    def test_ten_thousand_connects(self):
        with self.serve() as server:
            self.assert_served(server, "a")
            before = self.resident(server)
            steady = server.connect("a")
            waits = []
            begin = time.monotonic()
            for index in range(10_000):
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(server.socket)
                    if index % 4 == 0:
                        client.sendall(b"\0\0\0\3IHAVEOPT\0\0\0\7")
                if index % 100 == 0:
                    asked = time.monotonic()
                    steady.pwrite(bytes([index // 100]) * 4096, 4096)
                    self.assertEqual(steady.pread(1, 4096), bytes([index // 100]))
                    waits.append(time.monotonic() - asked)
            print(f"10,000 connects in {time.monotonic() - begin:.1f} s; a write and a read meanwhile took "
                  f"{1000 * sorted(waits)[50]:.1f} ms, {1000 * max(waits):.0f} ms at most", file=sys.stderr)
            self.assertLess(max(waits), 5)
            steady.shutdown()
            self.assert_served(server, "a", seconds=15)
            self.assertLess(self.resident(server) - before, 64 * MIB)

    def test_slow_readers_and_writers_leave_room_for_others(self):
        with self.serve('memory = "160M"\nexport-memory = "80M"\nstall-seconds = 2') as server:
            self.assert_served(server, "b")
            before = self.resident(server)
            slow = [self.connect(server, "a") for _ in range(20)]
            self.be_slow(slow)
            self.assert_served(server, "b")  # at once
            self.assertLess(self.resident(server) - before, 400 * MIB)
            self.assert_served(server, "a", seconds=20)
            waited = time.monotonic()
            while not any(self.is_dropped(client) for client in slow):
                self.assertLess(time.monotonic() - waited, 30)  # stalled while others waited for memory
            self.assert_served(server, "b")

    def test_slow_readers_and_writers_over_tls(self):
        self.authority("ca")
        folder = self.certificate(self.folder("server", "ca"), "server", "ca", "server")
        self.tls = ssl.create_default_context(cafile=self.path("ca-cert.pem"))
        limits = 'memory = "160M"\nexport-memory = "80M"\nstall-seconds = 2'
        with self.serve(limits, f'tls = "allow"\ntls-any-client = true\ntls-certificates = "{folder}"') as server:
            self.assert_served(server, "b")
            before = self.resident(server)
            self.be_slow([self.connect_encrypted(server, "a") for _ in range(10)])
            self.assert_served(server, "b")
            self.assertLess(self.resident(server) - before, 400 * MIB)
            self.assert_served(server, "a", seconds=20)

    @staticmethod
    def be_slow(clients):
        for reader in clients[::2]:
            for cookie in range(4):
                reader.sendall(request(0, 0, 32 * MIB, cookie))  # and never reads
        for writer in clients[1::2]:
            writer.sendall(request(1, 0, 32 * MIB) + bytes(100_000))  # and never sends the rest

    @staticmethod
    def is_dropped(client):
        client.setblocking(False)
        try:
            while data := client.recv(MIB):
                if len(data) < MIB:
                    return False
            return True
        except BlockingIOError:
            return False
        except ConnectionError:
            return True


if __name__ == "__main__":
    harness.need_programs("certtool")
    harness.main()
