#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""mica-qemu-nbd as scripts use qemu-nbd: flags, exit behaviour, messages; TLS with the clients that users have."""

import os
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import harness  # noqa: E402
from certificates import EXPIRED, CertificateMaker  # noqa: E402
from harness import mica, run  # noqa: E402

MIB = 1 << 20
QEMU_NBD = os.environ.get("MICA_QEMU_NBD", os.path.join(os.path.dirname(harness.MICA), "qemu_nbd", "mica-qemu-nbd"))
KEY = "0123456789abcdef0123456789abcdef"
ALERT_PROTOCOL_VERSION = b"\2\x46"  # fatal, protocol_version


class FrontEnd(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.socket = self.path("socket")
        self.image = harness.make_raw(self.path("image.raw"), 8 * MIB, b"mica" * 1024)

    def serve(self, *options, image=None):
        """Starts a server in the background and stops it at the end of the test."""
        pid_file = self.path("pid")
        run(QEMU_NBD, "--fork", f"--pid-file={pid_file}", "-k", self.socket, *options, image or self.image)
        with open(pid_file, encoding="ascii") as file:
            pid = int(file.read())
        self.addCleanup(self.stop, pid)
        return pid

    @staticmethod
    def stop(pid):
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            return
        FrontEnd.wait_gone(pid)

    @staticmethod
    def wait_gone(pid):
        for _ in range(1000):
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
            with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                if file.read().split()[2] == "Z":
                    return
            time.sleep(0.01)
        raise AssertionError(f"process {pid} is still there after 10 s")

    def uri(self, export="", scheme="nbd", more=""):
        return f"{scheme}+unix:///{export}?socket={self.socket}{more}"


class Behaviour(FrontEnd):
    def test_it_leaves_with_its_last_client(self):
        pid = self.serve("-f", "raw")
        # A probe that negotiates nothing is no client.
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(self.socket)
            self.assertEqual(len(probe.recv(18)), 18)
        run("qemu-io", "-f", "raw", "-c", "read -P 0x6d 0 1", self.uri())
        self.wait_gone(pid)
        self.assertFalse(os.path.exists(self.socket))

    def test_persistent_stays(self):
        pid = self.serve("-f", "raw", "-t", "-e", "2")
        for _ in range(3):
            run("qemu-io", "-f", "raw", "-c", "write 0 4k", self.uri())
        os.kill(pid, 0)
        self.stop(pid)
        self.assertFalse(os.path.exists(self.path("pid")))

    def test_more_clients_wait(self):
        self.serve("-f", "raw", "-t", "-e", "1")
        nbd = harness.import_nbd()
        first = nbd.NBD()
        first.connect_unix(self.socket)
        second = subprocess.Popen(["nbdinfo", "--size", self.uri()], stdout=subprocess.PIPE)
        with self.assertRaises(subprocess.TimeoutExpired):
            second.wait(0.3)
        first.shutdown()
        del first
        self.assertEqual(second.communicate(timeout=10)[0].strip(), str(8 * MIB).encode())
        self.assertEqual(second.returncode, 0)

    def test_offset_name_description_and_list(self):
        self.serve("-f", "raw", "-t", "-e", "0", "-r", "-A", "-x", "disk", "-D", "what it is", "-o", "4M")
        self.assertEqual(run("nbdinfo", "--size", self.uri("disk")).stdout.strip(), str(4 * MIB))
        run("nbdinfo", "--size", self.uri("other"), status=1)
        listed = run(QEMU_NBD, "--list", "-k", self.socket).stdout
        self.assertIn("exports available: 1\n export: 'disk'\n  description: what it is\n  size:  4194304\n", listed)
        self.assertIn("readonly", listed)
        self.assertIn("   base:allocation\n   qemu:allocation-depth\n", listed)
        self.assertEqual(listed, run("qemu-nbd", "--list", "-k", self.socket).stdout)

    def test_bitmaps_of_a_delta(self):
        self.clone(self.sealed_master(8 * MIB, b"x" * MIB))
        delta = self.path("vm.mica")
        run("qemu-io", "-f", "raw", "-c", "write 2M 64k", self.serve_and_uri("-t", "-B", "parent", image=delta))
        dirty = run("qemu-img", "map", "--output=json", "--image-opts",
                    f"driver=nbd,server.type=unix,server.path={self.socket},export=,"
                    "x-dirty-bitmap=qemu:dirty-bitmap:parent").stdout
        self.assertIn('"start": 2097152, "length": 65536', dirty)
        run(QEMU_NBD, "-k", self.path("other"), "-B", "nothing", "-r", "-f", "mica", delta, status=1)

    def serve_and_uri(self, *options, image):
        self.serve("-f", "mica", *options, image=image)
        return self.uri()

    def test_mistakes(self):
        name = os.path.basename(QEMU_NBD)
        for words, text in (((), "Invalid number of arguments"), (("-s", self.image), "mica clone"),
                            (("-k", self.socket, "-p", "1", self.image), "exclude each other"),
                            (("-f", "raw", "-k", self.socket, self.path("none")), "none")):
            failed = run(QEMU_NBD, *words, status=1)
            self.assertIn(text, failed.stderr)
            self.assertTrue(failed.stderr.startswith(name + ": "), failed.stderr)
            failed = run(QEMU_NBD, "--fork", *words, status=1)
            self.assertIn(text, failed.stderr)


class PreSharedKeys(FrontEnd):
    def setUp(self):
        super().setUp()
        self.keys = self.path("keys")
        os.mkdir(self.keys)
        run("psktool", "-u", "alice", "-p", os.path.join(self.keys, "keys.psk"))
        run("psktool", "-u", "bob", "-p", os.path.join(self.keys, "keys.psk"))
        self.bad_keys = self.path("bad.psk")
        with open(self.bad_keys, "w", encoding="ascii") as file:
            file.write(f"alice:{KEY}\n")

    def tls(self, *more):
        return ("--object", f"tls-creds-psk,id=t,endpoint=server,dir={self.keys}", "--tls-creds", "t", *more)

    def psk_uri(self, user="alice", keys=None):
        keys = keys or os.path.join(self.keys, "keys.psk")
        return f"nbds+unix://{user}@/?socket={self.socket}&tls-psk-file={keys}"

    def test_clients(self):
        self.serve("-f", "raw", "-t", "-e", "0", *self.tls())
        self.assertEqual(run("nbdinfo", "--size", self.psk_uri()).stdout.strip(), str(8 * MIB))
        run("nbdcopy", self.psk_uri(), self.path("copy"))
        run("cmp", self.path("copy"), self.image)
        run("nbdcopy", "--flush", self.image, self.psk_uri())
        options = (f"driver=nbd,server.type=unix,server.path={self.socket},tls-creds=t")
        for user, status in (("alice", 0), ("mallory", 1)):
            run("qemu-img", "info", "--object", f"tls-creds-psk,id=t,endpoint=client,dir={self.keys},username={user}",
                "--image-opts", options, status=status)

    def test_who_is_refused(self):
        self.serve("-f", "raw", "-t", "-e", "0", *self.tls())
        for uri in (self.uri(), self.psk_uri("mallory"), self.psk_uri(keys=self.bad_keys)):
            run("nbdinfo", "--size", uri, status=1)
        run("nbdinfo", "--size", self.psk_uri("bob"))

    def test_only_the_named_user(self):
        self.serve("-f", "raw", "-t", "-e", "0", "--object", "authz-simple,id=z,identity=bob",
                   *self.tls("--tls-authz", "z"))
        run("nbdinfo", "--size", self.psk_uri("alice"), status=1)
        run("nbdinfo", "--size", self.psk_uri("bob"))

    def test_list_over_tls(self):
        self.serve("-f", "raw", "-t", "-e", "0", "-x", "disk", *self.tls())
        client = f"tls-creds-psk,id=t,endpoint=client,dir={self.keys},username=alice"
        listed = run(QEMU_NBD, "--list", "-k", self.socket, "--object", client, "--tls-creds", "t").stdout
        self.assertIn(" export: 'disk'\n", listed)
        run(QEMU_NBD, "--list", "-k", self.socket, status=1)


class Certificates(CertificateMaker, FrontEnd):
    """TCP, because a name is part of the proof."""

    def setUp(self):
        super().setUp()
        self.port = harness.free_port()
        self.authority("ca")
        self.server = self.folder("server", "ca")
        self.certificate(self.server, "server", "ca", "server")

    def serve_tls(self, *more, verify="on", folder=None):
        pid_file = self.path("pid")
        server = f"tls-creds-x509,id=t,endpoint=server,dir={folder or self.server},verify-peer={verify}"
        run(QEMU_NBD, "--fork", f"--pid-file={pid_file}", "-b", "127.0.0.1", "-p", self.port, "-f", "raw", "-t",
            "-e", "0", "--object", server, "--tls-creds", "t", *more, self.image)
        with open(pid_file, encoding="ascii") as file:
            self.addCleanup(self.stop, int(file.read()))

    def size(self, folder, status=0, host="localhost", scheme="nbds"):
        certificates = f"?tls-certificates={folder}" if folder else ""
        return run("nbdinfo", "--size", f"{scheme}://{host}:{self.port}/{certificates}", status=status)

    def test_clients(self):
        self.serve_tls()
        client = self.client("alice")
        self.assertEqual(self.size(client).stdout.strip(), str(8 * MIB))
        run("nbdcopy", f"nbds://localhost:{self.port}/?tls-certificates={client}", self.path("copy"))
        run("cmp", self.path("copy"), self.image)
        run("qemu-img", "info", "--object", f"tls-creds-x509,id=t,endpoint=client,dir={client}", "--image-opts",
            f"driver=nbd,host=localhost,port={self.port},tls-creds=t")
        run("nbdinfo", "--size", f"nbd://localhost:{self.port}/", status=1)  # in clear

    def test_who_is_refused(self):
        self.authority("stranger")
        self.serve_tls()
        self.size(self.client("signed-by-a-stranger", "stranger"), status=1)
        self.size(self.client("expired", lifetime=EXPIRED), status=1)
        self.size(self.folder("no-certificate", "ca"), status=1)
        server_as_client = self.folder("wrong-purpose", "ca")
        for name in ("cert", "key"):
            run("cp", os.path.join(self.server, f"server-{name}.pem"),
                os.path.join(server_as_client, f"client-{name}.pem"))
        self.size(server_as_client, status=1)
        self.size(self.client("alice"))

    def test_what_clients_refuse(self):
        old = self.certificate(self.folder("old", "ca"), "server", "ca", "old", lifetime=EXPIRED)
        self.serve_tls(folder=old)
        self.size(self.client("alice"), status=1)

    def test_the_name_counts(self):
        other = self.certificate(self.folder("other", "ca"), "server", "ca", "other", host="other.example.com")
        self.serve_tls(folder=other, verify="off")
        self.size(self.folder("anyone", "ca"), status=1)

    def test_without_client_certificates(self):
        self.serve_tls(verify="off")
        self.size(self.folder("anyone", "ca"))

    def test_only_the_named_client(self):
        self.serve_tls("--object", "authz-simple,id=z,identity=CN=bob,,O=Example", "--tls-authz", "z")
        self.size(self.client("alice"), status=1)
        self.size(self.client("bob"))

    def test_old_versions_are_refused(self):
        self.serve_tls(verify="off")
        for version in (b"\3\1", b"\3\2"):
            # Client flags and STARTTLS, then a ClientHello that offers this version at most.
            with socket.create_connection(("127.0.0.1", self.port)) as raw:
                raw.recv(18)
                raw.sendall(b"\0\0\0\3" + b"IHAVEOPT" + b"\0\0\0\5" + b"\0\0\0\0")
                self.assertEqual(raw.recv(20)[12:16], b"\0\0\0\1")
                body = version + bytes(32) + b"\0" + bytes.fromhex("0004c014c00a0100")
                hello = b"\1" + len(body).to_bytes(3, "big") + body
                raw.sendall(b"\x16\3\1" + len(hello).to_bytes(2, "big") + hello)
                alert = raw.recv(7)
                self.assertEqual((alert[0], alert[5:]), (21, ALERT_PROTOCOL_VERSION))
                self.assertEqual(raw.recv(1), b"")

    def test_credentials_that_cannot_work(self):
        for name in ("server-key.pem", "ca-cert.pem"):
            folder = self.path("broken-" + name)
            run("cp", "-r", self.server, folder)
            os.unlink(os.path.join(folder, name))
            failed = run(QEMU_NBD, "-k", self.socket, "-f", "raw", "--object",
                         f"tls-creds-x509,id=t,endpoint=server,dir={folder}", "--tls-creds", "t", self.image, status=1)
            self.assertIn(name, failed.stderr)


if __name__ == "__main__":
    harness.need_programs("nbdinfo", "nbdcopy", "qemu-img", "qemu-io", "qemu-nbd", "psktool", "certtool")
    harness.main()
