#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`mica serve` over TLS and over stdin and stdout; the contexts that tell what has changed."""

import json
import os
import socket
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import harness  # noqa: E402
from certificates import EXPIRED, CertificateMaker  # noqa: E402
from harness import MICA, Server, mica, run  # noqa: E402

MIB = 1 << 20
SIZE = 8 * MIB


class Encrypted(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.keys = self.path("keys.psk")
        for user in ("alice", "bob"):
            run("psktool", "-u", user, "-p", self.keys)
        self.clone(self.sealed_master(SIZE, b"m" * MIB))

    def uri(self, server, user, export="vm"):
        return f"nbds+unix://{user}@/{export}?socket={server.socket}&tls-psk-file={self.keys}"

    def test_users_and_exports(self):
        options = ("--tls-psk", self.keys, "--client", "psk:alice", "--control", self.path("control"))
        mica("clone", self.path("master.raw"), self.path("second.mica"))
        with Server(self.directory, f"vm={self.path('vm.mica')}", options=options) as server:
            mica("ctl", "--control", self.path("control"), "add", f"second={self.path('second.mica')}")
            run("nbdinfo", "--size", self.uri(server, "alice"))
            run("nbdinfo", "--size", self.uri(server, "bob"), status=1)
            run("nbdinfo", "--size", self.uri(server, "bob", "second"))
            run("nbdinfo", "--size", server.uri("vm"), status=1)
            names = run("nbdinfo", "--list", "--json", self.uri(server, "bob", "")).stdout
            self.assertEqual([entry["export-name"] for entry in json.loads(names)["exports"]], ["second"])
            self.assertIn("nbds+unix://", server.output())
            run("nbdcopy", "--flush", self.uri(server, "alice"), self.path("copy"))
        with open(self.path("copy"), "rb") as file:
            self.assertEqual(file.read(MIB + 1), b"m" * MIB + b"\0")

    def test_allow_takes_both(self):
        with Server(self.directory, f"vm={self.path('vm.mica')}", options=("--tls-psk", self.keys, "--tls", "allow")) \
                as server:
            run("nbdinfo", "--size", server.uri("vm"))
            run("nbdinfo", "--size", self.uri(server, "bob"))
            run("qemu-img", "convert", "--object",
                f"tls-creds-psk,id=t,endpoint=client,dir={self.directory},username=alice", "--image-opts",
                f"driver=nbd,server.type=unix,server.path={server.socket},export=vm,tls-creds=t", "-O", "raw",
                self.path("copy"))
        mica("compare", self.path("copy"), self.path("master.raw"))

    def test_configuration(self):
        config = self.path("serve.toml")
        with open(config, "w", encoding="ascii") as file:
            file.write(f"tls-psk = '{self.keys}'\n[[export]]\nname = 'vm'\nfile = '{self.path('vm.mica')}'\n"
                       "clients = ['psk:bob']\n")
        with Server(self.directory, options=("--config", config)) as server:
            run("nbdinfo", "--size", self.uri(server, "bob"))
            run("nbdinfo", "--size", self.uri(server, "alice"), status=1)

    def test_mistakes(self):
        vm = self.path("vm.mica")
        for words in (("--tls", "maybe"), ("--tls", "require"), ("--client", "alice"),
                      ("--tls-psk", self.keys, "--tls-certificates", self.directory)):
            run(MICA, "serve", "--socket", self.path("s"), *words, vm, status=2)
        for words in (("--tls-psk", self.path("none")), ("--tls-certificates", self.directory)):
            failed = run(MICA, "serve", "--socket", self.path("s"), *words, vm, status=2)
            self.assertIn(self.directory, failed.stderr)


class Certified(CertificateMaker, harness.TestCase):
    """Over TCP, because a name is part of the proof."""

    def setUp(self):
        super().setUp()
        self.authority("ca")
        self.authority("stranger")
        self.clone(self.sealed_master(SIZE, b"m" * MIB))
        self.server_folder = self.certificate(self.folder("server", "ca"), "server", "ca", "server")

    def serve(self, *more, folder=None):
        self.port = harness.free_port()
        return Server(self.directory, f"vm={self.path('vm.mica')}",
                      options=("--listen", f"127.0.0.1:{self.port}", "--tls-certificates",
                               folder or self.server_folder, *more))

    def nbdinfo(self, folder, status=0):
        uri = f"nbds://localhost:{self.port}/vm?tls-certificates={folder}"
        return run("nbdinfo", "--size", uri, status=status).stdout.strip()

    def test_clients(self):
        with self.serve():
            alice = self.client("alice")
            self.assertEqual(self.nbdinfo(alice), str(SIZE))
            image = f"driver=nbd,host=localhost,port={self.port},export=vm,tls-creds=t"
            credentials = f"tls-creds-x509,id=t,endpoint=client,dir={alice}"
            run("qemu-img", "info", "--object", credentials, "--image-opts", image)
            run("qemu-img", "convert", "--object", credentials, "--image-opts", image, "-O", "raw", self.path("copy"))
        mica("compare", self.path("copy"), self.path("vm.mica"))

    def test_who_is_refused(self):
        with self.serve() as server:
            self.nbdinfo(self.client("signed-by-a-stranger", "stranger"), status=1)
            self.nbdinfo(self.client("expired", lifetime=EXPIRED), status=1)
            self.nbdinfo(self.folder("no-certificate", "ca"), status=1)
            run("nbdinfo", "--size", f"nbd://localhost:{self.port}/vm", status=1)
            self.assertNotIn("uses export", server.output())
            self.nbdinfo(self.client("alice"))

    def test_what_clients_refuse(self):
        alice = self.client("alice")
        for name, authority, settings in (("expired-server", "ca", {"lifetime": EXPIRED}),
                                          ("other-authority", "stranger", {}),
                                          ("other-name", "ca", {"host": "other.example.com"})):
            with self.subTest(server=name):
                folder = self.certificate(self.folder(name, "ca"), "server", authority, name, **settings)
                with self.serve(folder=folder) as server:
                    self.nbdinfo(alice, status=1)
                    self.assertNotIn("uses export", server.output())

    def test_only_the_named_client(self):
        with self.serve("--client", "cn:bob"):
            self.nbdinfo(self.client("alice"), status=1)
            self.nbdinfo(self.client("bob"))

    def test_clients_without_certificates_when_told_so(self):
        with self.serve("--tls-any-client"):
            self.nbdinfo(self.folder("anyone", "ca"))

    def test_nothing_is_believed_that_came_in_clear(self):
        go = b"IHAVEOPT" + struct.pack(">III2sH", 7, 8, 2, b"vm", 0)
        start_tls = b"IHAVEOPT" + struct.pack(">II", 5, 0)
        with self.serve("--tls", "allow") as server:
            for together in (True, False):
                with socket.create_connection(("127.0.0.1", self.port)) as client:
                    client.settimeout(30)
                    client.recv(18, socket.MSG_WAITALL)
                    client.sendall(struct.pack(">I", 3) + start_tls + (go if together else b""))
                    if not together:
                        self.assertEqual(client.recv(20, socket.MSG_WAITALL)[12:16], struct.pack(">I", 1))
                        client.sendall(go)
                    answer = self.rest_of(client)
                    self.assertNotIn(b"IHAVEOPT", answer)
                    self.assertNotIn(struct.pack(">Q", 0x3e889045565a9), answer)
            self.assertNotIn("uses export", server.output())
            self.assertIn("data behind STARTTLS", server.output())

    @staticmethod
    def rest_of(client):
        received = b""
        try:
            while data := client.recv(4096):
                received += data
        except ConnectionError:
            pass
        return received


class Stdio(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.clone(self.sealed_master(SIZE, b"m" * MIB))
        self.command = [MICA, "serve", "--stdio", "-q", f"vm={self.path('vm.mica')}"]

    def test_a_socket(self):
        nbd = harness.import_nbd()
        handle = nbd.NBD()
        handle.set_export_name("vm")
        handle.connect_command(self.command)
        self.assertEqual(handle.get_size(), SIZE)
        self.assertEqual(handle.pread(4, MIB - 2), b"mm\0\0")
        handle.pwrite(b"written", 4096)
        handle.flush()
        handle.shutdown()
        del handle
        mica("check", self.path("vm.mica"))

    def test_pipes_and_files(self):
        hello = b"\0\0\0\3" + b"IHAVEOPT" + b"\0\0\0\3" + b"\0\0\0\0" + b"IHAVEOPT" + b"\0\0\0\2" + b"\0\0\0\0"
        piped = subprocess.run(self.command, input=hello, capture_output=True, timeout=60, check=True)
        self.assertTrue(piped.stdout.startswith(b"NBDMAGICIHAVEOPT"), piped.stdout)
        self.assertIn(b"vm", piped.stdout)
        with open(self.path("input"), "wb") as file:
            file.write(hello)
        with open(self.path("input"), "rb") as source, open(self.path("output"), "wb") as target:
            subprocess.run(self.command, stdin=source, stdout=target, timeout=60, check=True)
        with open(self.path("output"), "rb") as file:
            self.assertEqual(file.read(), piped.stdout)

    def test_one_place_to_listen(self):
        run(*self.command, "--socket", self.path("s"), status=2)


class Changes(harness.TestCase):
    def dirty(self, server, bitmap):
        extents = json.loads(run("nbdinfo", "--json", f"--map=qemu:dirty-bitmap:{bitmap}", server.uri("vm")).stdout)
        self.assertEqual(sum(extent["length"] for extent in extents), SIZE)
        return [(extent["offset"], extent["length"]) for extent in extents if extent["type"] == 1]

    def test_against_the_parent_and_since_a_snapshot(self):
        self.clone(self.sealed_master(SIZE, b"m" * MIB))
        control = self.path("control")
        with Server(self.directory, f"vm={self.path('vm.mica')}", options=("--control", control)) as server:
            self.assertEqual(self.dirty(server, "parent"), [])
            run("qemu-io", "-f", "raw", "-c", "write 2M 64k", server.uri("vm"))
            self.assertEqual(self.dirty(server, "parent"), [(2 * MIB, 65536)])
            mica("ctl", "--control", control, "snapshot", "vm", "monday")
            self.assertEqual(self.dirty(server, "since:monday"), [])
            run("qemu-io", "-f", "raw", "-c", "write 4M 4k", "-c", "write -z -u 0 8k", server.uri("vm"))
            self.assertEqual(self.dirty(server, "since:monday"), [(0, 8192), (4 * MIB, 4096)])
            self.assertEqual(self.dirty(server, "parent"), [(0, 8192), (2 * MIB, 65536), (4 * MIB, 4096)])
            layers = json.loads(run("nbdinfo", "--json", "--map=qemu:allocation-depth", server.uri("vm")).stdout)
            self.assertEqual({extent["type"] for extent in layers}, {1, 2})
        with Server(self.directory, f"vm={self.path('vm.mica')}") as server:
            self.assertEqual(self.dirty(server, "since:monday"), [(0, 8192), (4 * MIB, 4096)])


if __name__ == "__main__":
    harness.need_programs("nbdinfo", "nbdcopy", "qemu-img", "qemu-io", "psktool", "certtool")
    harness.main()
