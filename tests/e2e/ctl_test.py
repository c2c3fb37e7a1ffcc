#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Operation of a server: exports come and go under load, limits, metrics, configuration, the sandbox."""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import harness  # noqa: E402
from harness import Server, mica  # noqa: E402

nbd = harness.import_nbd()

DISK = 16 << 20


class Load:
    """Writes and reads back on one export until it is told to stop; nothing may fail."""

    def __init__(self, handle):
        self.handle, self.over, self.rounds, self.error = handle, False, 0, None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            while not self.over:
                data = self.rounds.to_bytes(8, "big") * 512
                offset = self.rounds % 1000 * 4096
                self.handle.pwrite(data, offset)
                if self.handle.pread(4096, offset) != data:
                    raise AssertionError(f"wrong data at {offset}")
                self.rounds += 1
        except (nbd.Error, AssertionError) as error:
            self.error = error

    def stop(self):
        self.over = True
        self.thread.join()
        return self.error


class Operated(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.master = self.sealed_master(DISK, b"master")
        for name in ("a", "b", "c"):
            self.clone(self.master, f"{name}.mica")
        self.control = self.path("control")

    def serve(self, *exports, options=()):
        return Server(self.directory, *exports,
                      options=("--control", self.control, "--threads", "2", *options))

    def image(self, name):
        return f"{name}={self.path(name + '.mica')}"

    def ctl(self, *arguments, **options):
        return mica("ctl", "--control", self.control, *arguments, **options)

    def listed(self):
        answer = json.loads(self.ctl("--output", "json", "list").stdout)
        return {one["name"]: one for one in answer["exports"]}


class Conversation:
    """A connection to the control socket that stays, request by request."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.lines = self.socket.makefile("r", encoding="utf-8")

    def send(self, command, **arguments):
        self.socket.sendall((json.dumps({"command": command, **arguments}) + "\n").encode())

    def ask(self, command, **arguments):
        """The kind of error, or None."""
        self.send(command, **arguments)
        return json.loads(self.lines.readline()).get("kind")

    def close(self):
        self.lines.close()
        self.socket.close()


class Holds(Operated):
    """An export whose image another process may have for a moment."""

    def setUp(self):
        super().setUp()
        self.server = self.enterContext(self.serve(self.image("a"), self.image("b")))
        self.holder, self.other = Conversation(self.control), Conversation(self.control)
        self.addCleanup(self.holder.close)
        self.addCleanup(self.other.close)

    def start_client(self, name):
        client = subprocess.Popen(["nbdinfo", "--size", self.server.uri(name)], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
        self.addCleanup(client.communicate)
        return client

    def expect_waiting(self, client):
        time.sleep(0.3)
        self.assertIsNone(client.poll())

    def test_clients_wait_until_it_is_released(self):
        self.assertIsNone(self.holder.ask("hold", name="a"))
        self.assertFalse(self.listed()["a"]["ready"])
        mica("snapshot", "-c", "mine", self.path("a.mica"))  # it can be opened for writing
        client = self.start_client("a")
        self.expect_waiting(client)
        self.assertEqual(self.server.connect("b").pread(6, 0), b"master")
        self.assertIsNone(self.holder.ask("release", name="a"))
        self.assertEqual(client.wait(), 0)
        self.assertEqual(self.holder.ask("release", name="a"), "not-found")

    def test_the_end_of_the_conversation_releases(self):
        self.assertIsNone(self.holder.ask("hold", name="a"))
        client = self.start_client("a")
        self.expect_waiting(client)
        self.holder.close()
        self.assertEqual(client.wait(), 0)
        self.assertTrue(self.listed()["a"]["ready"])

    def test_what_has_the_name_then_is_exported(self):
        self.assertIsNone(self.holder.ask("hold", name="a"))
        os.rename(self.path("c.mica"), self.path("a.mica"))
        mica("resize", self.path("a.mica"), str(2 * DISK))
        self.assertIsNone(self.holder.ask("release", name="a"))
        self.assertEqual(self.server.connect("a").get_size(), 2 * DISK)

    def test_what_cannot_be_opened_is_no_export_any_more(self):
        self.assertIsNone(self.holder.ask("hold", name="a"))
        os.unlink(self.path("a.mica"))
        client = self.start_client("a")
        self.expect_waiting(client)
        self.assertEqual(self.holder.ask("release", name="a"), "not-found")
        self.assertNotEqual(client.wait(), 0)
        self.assertEqual(list(self.listed()), ["b"])

    def test_others_keep_away(self):
        self.assertEqual(self.other.ask("hold", name="x"), "not-found")
        handle = self.server.connect("a")
        self.assertEqual(self.other.ask("hold", name="a"), "busy")
        self.assertEqual(self.other.ask("hold", name="a", seconds=1), "busy")
        handle.pwrite(b"goes on" + bytes(505), 0)
        handle.shutdown()
        self.assertIsNone(self.holder.ask("hold", name="a", seconds=10))
        for command in ("hold", "remove", "drain"):
            self.assertEqual(self.other.ask(command, name="a"), "busy")
        self.assertEqual(self.other.ask("release", name="a"), "not-found")
        self.assertEqual(self.other.ask("hand-over"), "busy")

    def test_it_stops_with_everybody_waiting(self):
        handle = self.server.connect("a")
        self.assertIsNone(self.holder.ask("hold", name="b"))
        self.other.send("hold", name="a", seconds=3600)
        client = self.start_client("b")
        self.expect_waiting(client)
        handle.shutdown()
        started = time.monotonic()
        self.server.stop()
        self.assertLess(time.monotonic() - started, 5)


class Exports(Operated):
    def test_they_come_and_go_while_others_run(self):
        with self.serve(self.image("a"), self.image("b")) as server:
            loads = [Load(server.connect(name)) for name in ("a", "b")]
            for _ in range(3):
                self.ctl("add", self.image("c"))
                handle = server.connect("c")
                handle.pwrite(b"\x07" * 4096, 0)
                self.assertEqual(self.listed()["c"]["clients"], 1)
                self.ctl("remove", "c")
                with self.assertRaises(nbd.Error):
                    handle.pread(4096, 0)
                mica("check", self.path("c.mica"))  # closed: nobody holds its lock
            for load in loads:
                self.assertIsNone(load.stop())
                self.assertGreater(load.rounds, 0)
            self.assertEqual(self.ctl("remove", "nobody", status=1).stdout, "")
            self.assertIn("second time", self.ctl("add", self.image("a"), status=1).stderr)
            self.assertIn("missing.mica", self.ctl("add", self.path("missing.mica"), status=1).stderr)
            self.assertEqual(set(self.listed()), {"a", "b"})

    def test_a_snapshot_under_load(self):
        with self.serve(self.image("a"), f"master={self.master}") as server:
            load = Load(server.connect("a"))
            self.ctl("snapshot", "a", "before")
            self.assertIn("before", self.ctl("snapshot", "a", "before", status=1).stderr)
            self.ctl("snapshot", "master", "x", status=1)
            self.assertIsNone(load.stop())

    def test_drain_waits_for_clients_to_leave(self):
        with self.serve(self.image("a"), self.image("b")) as server:
            handle = server.connect("a")
            drain = subprocess.Popen([harness.MICA, "ctl", "--control", self.control, "drain", "a"])
            while self.listed()["a"]["ready"]:
                pass
            with self.assertRaises(nbd.Error):  # hidden from new clients
                server.connect("a")
            handle.pwrite(b"\x01" * 4096, 0)  # but not from those that are there
            self.assertIsNone(drain.poll())
            handle.shutdown()
            self.assertEqual(drain.wait(timeout=30), 0)
            self.assertEqual(set(self.listed()), {"b"})

    def test_hidden_names_and_a_limit_of_connections(self):
        with self.serve(self.image("a")) as server:
            self.ctl("add", "--hidden", "--connections", "1", self.image("b"))
            names = harness.run("nbdinfo", "--list", "--json", server.uri("")).stdout
            self.assertEqual([one["export-name"] for one in json.loads(names)["exports"]], ["a"])
            first = server.connect("b")
            with self.assertRaises(nbd.Error):
                server.connect("b")
            first.shutdown()

    def test_limits_change_while_it_runs(self):
        with self.serve(self.image("a"), options=("--iops", "50")) as server:
            handle = server.connect("a")

            def seconds_for(requests):
                start = time.monotonic()
                for index in range(requests):
                    handle.pread(4096, index * 4096)
                return time.monotonic() - start

            self.assertGreater(seconds_for(40), 0.5)
            self.ctl("limit", "a")
            self.assertEqual(self.listed()["a"]["iops"], 0)
            self.ctl("limit", "--bandwidth", "1M", "a")
            self.assertGreater(seconds_for(256), 0.6)


class Configuration(Operated):
    def write(self, text):
        with open(self.path("serve.toml"), "w", encoding="utf-8") as file:
            file.write(text)

    def export(self, name, *lines):
        return "\n".join((f'[[export]]\nname = "{name}"\nfile = "{self.path(name + ".mica")}"', *lines, ""))

    def test_a_reload_changes_what_changed(self):
        self.write('threads = 2\n[limits]\nconnections = 100\n' + self.export("a") + self.export("b", "iops = 9"))
        with self.serve(self.image("c"), options=("--config", self.path("serve.toml"))) as server:
            load = Load(server.connect("a"))
            self.clone(self.master, "d.mica")
            self.write(self.export("a", "iops = 100000") + self.export("d"))
            self.assertEqual(set(self.ctl("reload").stdout.split()), {"a", "b", "d"})
            listed = self.listed()
            self.assertEqual(set(listed), {"a", "c", "d"})
            self.assertEqual(listed["a"]["iops"], 100000)
            self.write("[[export]]\nname = 7\n")
            self.assertIn("line 1", self.ctl("reload", status=2).stderr)
            self.assertIsNone(load.stop())

    def test_mistakes_are_named(self):
        for text, named in (("colour = 1\n", '"colour"'), ("threads = 0\n", "threads"), ("[limits]\nmemory = 1\n",
                            "memory"), ("[limits]\nmap-cache = 1\n", "map-cache"), ("log-format = 'xml'\n",
                            "log-format"), ("x = [1]\n", "line 1"), ("a = \n", "line 1"), ("[[export]]\nname = 'x'\n",
                            "file"), ("export = 1\n", "[[export]]"), ("limits = 1\n", "[limits]")):
            self.write(text)
            result = mica("serve", "--socket", self.path("s"), "--config", self.path("serve.toml"), status=2)
            self.assertIn(named, result.stderr)


class ControlSocket(Operated):
    def ask(self, *lines):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self.control)
            client.sendall(b"".join(lines))
            client.shutdown(socket.SHUT_WR)
            with client.makefile("rb") as answers:
                return [json.loads(line) for line in answers]

    def test_bad_requests_are_answered_and_bounded(self):
        with self.serve(self.image("a")):
            self.assertEqual(os.stat(self.control).st_mode & 0o777, 0o600)
            for line in (b"\n", b"{}\n", b"[]\n", b"\xff\xff\n", b'{"command":"list"\n', b'{"command":7}\n',
                         b'{"command":"fly"}\n', b'{"command":"add","file":[[]]}\n', b'{"command":"remove"}\n',
                         b'{"command":"drain","name":"a","seconds":-1}\n', b"[" * 60000 + b"\n"):
                (answer,) = self.ask(line)
                self.assertFalse(answer["ok"], line[:40])
                self.assertTrue(answer["error"], line[:40])
            first, second = self.ask(b'{"command":"list"}\n{"command":"stat"}\n')
            self.assertTrue(first["ok"] and second["ok"])
            (answer,) = self.ask(b"x" * 100000)
            self.assertEqual(answer["kind"], "limit")


class Logs(Operated):
    def test_one_object_a_line_with_what_clients_say_quoted(self):
        with self.serve(self.image("a"), options=("--log-format", "json", "-v")) as server:
            handle = server.connect("a")
            with self.assertRaises(nbd.Error):
                server.connect('evil"\n{"severity":"error"}')
            handle.shutdown()
            with socket.socket(socket.AF_UNIX) as rude:
                rude.connect(server.socket)
                rude.sendall(b"\xff" * 64)
                rude.settimeout(30)
                while rude.recv(100):
                    pass
            server.stop()
            lines = [json.loads(line) for line in server.output().splitlines() if not line.startswith("nbd")]
        self.assertTrue(all({"time", "severity", "message"} <= set(line) for line in lines), lines)
        self.assertRegex(lines[0]["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        used = [line for line in lines if line.get("export") == "a"]
        self.assertTrue(used and f"pid {os.getpid()} " in used[0]["peer"], lines)
        self.assertTrue(any(line["severity"] == "warning" and "client flags" in line["message"] for line in lines))


class Caches(Operated):
    def test_their_sizes_are_kept_to_and_shown(self):
        with open(self.path("full.raw"), "wb") as file:
            for number in range(1, DISK // 4096 + 1):
                file.write(number.to_bytes(8, "big") * 512)
        mica("convert", "-O", "mica", self.path("full.raw"), self.path("full.mica"))
        mica("seal", "--compress", self.path("full.mica"))
        mica("clone", self.path("full.mica"), self.path("d.mica"))

        def stat_after_two_readings(*options):
            with self.serve(self.image("d"), options=options) as server:
                handle = server.connect("d")
                for _ in range(2):
                    for offset in range(0, DISK, 1 << 20):
                        handle.pread(1 << 20, offset)
                handle.pwrite(b"\x01" * 4096, 0)
                handle.pread(4096, 0)
                return json.loads(self.ctl("--output", "json", "stat").stdout)

        roomy = stat_after_two_readings("--chunk-cache", "64M", "--map-cache", "8M")
        self.assertGreaterEqual(roomy["chunk-cache"]["bytes"], DISK)  # and the pages of the map
        tight = stat_after_two_readings("--chunk-cache", "1M")
        self.assertLessEqual(tight["chunk-cache"]["bytes"], 1 << 20)
        self.assertGreater(tight["chunk-cache"]["misses"], roomy["chunk-cache"]["misses"])
        head, parent = roomy["exports"][0]["layers"]
        self.assertEqual((head["filename"], head["reads"], head["bytes"]), (self.path("d.mica"), 1, 4096))
        self.assertEqual((parent["filename"], parent["bytes"]), (self.path("full.mica"), 2 * DISK))
        self.assertIn("map-cache", mica("serve", "--socket", self.path("s"), "--map-cache", "5", self.image("a"),
                                        status=2).stderr)


class Metrics(Operated):
    def test_prometheus_takes_them(self):
        file = self.path("metrics.prom")
        options = ("--metrics-listen", "127.0.0.1:0", "--metrics-file", file)
        weird = 'we"ird\\ name'
        with self.serve(self.image("a"), f"{weird}={self.path('b.mica')}", options=options) as server:
            for name in ("a", weird):
                handle = server.connect(name)
                handle.pwrite(b"\x01" * 65536, 0)
                handle.flush()
                with self.assertRaises(nbd.Error):
                    nbd_read_past_end(handle)
                handle.pread(4096, 0)
                handle.shutdown()
            port = listening_port(server.process.pid)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                text = answer.read().decode()
            self.assertIn('mica_request_bytes_total{export="a",command="WRITE"} 65536', text)
            self.assertIn('mica_request_errors_total{export="a",command="READ"} 1', text)
            self.assertIn('mica_requests_total{export="we\\"ird\\\\ name",command="FLUSH"} 1', text)
            self.assertTrue(re.search(r'duration_seconds_bucket{.*le="\+Inf"} \d', text))
            self.assertIn(f'mica_layer_read_bytes_total{{file="{self.path("a.mica")}"}} 4096', text)
            self.assertIn("mica_chunk_cache_misses_total 0", text)
            harness.run("promtool", "check", "metrics", input=text)
            with self.assertRaises(urllib.error.HTTPError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/other")
            with open(file, encoding="utf-8") as written:
                self.assertIn("mica_exports 2", written.read())


def nbd_read_past_end(handle):
    handle.set_strict_mode(0)
    return handle.pread(4096, DISK)


def listening_port(pid):
    """The TCP port that process listens on."""
    inodes = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        target = os.readlink(f"/proc/{pid}/fd/{name}")
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    with open("/proc/net/tcp", encoding="ascii") as table:
        for line in list(table)[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                return int(fields[1].rpartition(":")[2], 16)
    raise AssertionError("the server listens on no TCP port")


class Service(Operated):
    @staticmethod
    def status(server, field):
        with open(f"/proc/{server.process.pid}/status", encoding="ascii") as file:
            return re.search(rf"^{field}:(.*)$", file.read(), re.M).group(1).split()

    def test_socket_activation_and_notification(self):
        with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            listening.bind(self.path("activated"))
            listening.listen()
            notify.bind(self.path("notify"))
            notify.settimeout(30)

            def give_socket():
                os.dup2(listening.fileno(), 3)
                os.set_inheritable(3, True)

            script = 'LISTEN_PID=$$ exec "$@"'
            with tempfile.TemporaryFile("w+") as log:
                process = subprocess.Popen(
                    ["sh", "-c", script, "sh", harness.MICA, "serve", self.image("a")], preexec_fn=give_socket, close_fds=False, stdout=log,
                    stderr=log, env={**os.environ, "LISTEN_FDS": "1", "NOTIFY_SOCKET": self.path("notify")})
                self.addCleanup(process.kill)
                self.assertEqual(notify.recv(100), b"READY=1")
                harness.run("nbdinfo", f"nbd+unix:///a?socket={self.path('activated')}")
                process.terminate()
                self.assertEqual(notify.recv(100), b"STOPPING=1")
                self.assertEqual(process.wait(timeout=30), 0)
            self.assertTrue(os.path.exists(self.path("activated")))  # not ours to remove

    def test_the_units_are_valid(self):
        units = [os.path.join(harness.ROOT, "tools", "serve", "systemd", name) for name in
                 ("mica.socket", "mica.service")]
        result = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
        complaints = [line for line in result.stderr.splitlines() if "mica" in line and "not executable" not in line]
        self.assertEqual(complaints, [])

    def test_the_sandbox_is_on_and_can_be_left_out(self):
        with self.serve(self.image("a")) as server:
            load = Load(server.connect("a"))  # everything that serving needs works in there
            self.assertEqual((self.status(server, "NoNewPrivs"), self.status(server, "Seccomp")), (["1"], ["2"]))
            self.ctl("add", self.image("b"))
            self.assertIsNone(load.stop())
        with self.serve(self.image("a"), options=("--no-sandbox",)) as server:
            self.assertEqual(self.status(server, "Seccomp"), ["0"])

    def test_another_user(self):
        if os.geteuid() != 0:
            self.skipTest("not root")
        os.chmod(self.directory, 0o777)
        for name in os.listdir(self.directory):
            os.chmod(self.path(name), 0o666)
        with self.serve(self.image("a"), options=("--user", "nobody")) as server:
            handle = server.connect("a")
            self.assertNotIn("0", self.status(server, "Uid"))
            handle.pwrite(b"\x01" * 4096, 0)
            handle.flush()
            handle.shutdown()
        self.assertFalse(os.path.exists(server.socket))


if __name__ == "__main__":
    harness.need_programs("promtool", "nbdinfo", "systemd-analyze")
    harness.main()
