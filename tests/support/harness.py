# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests share: the program under test, servers, scratch folders, loud skips.

The program is the one that the environment variable MICA names, else the release build. Tests are unittest
cases; a file ends with `harness.main()`.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MICA = os.environ.get("MICA", os.path.join(ROOT, "build", "release", "tools", "mica"))
SKIPPED = 77  # CTest's SKIP_RETURN_CODE


def skip(reason):
    """Ends the program as skipped. CI has everything, so there a skip is a failure."""
    print(f"SKIPPED: {reason}", file=sys.stderr)
    sys.exit(SKIPPED)


def need_programs(*names):
    for name in names:
        if shutil.which(name) is None:
            skip(f"the program {name} is not installed")


def need_root(reason):
    if os.geteuid() != 0:
        skip(f"not root: {reason}")
    for device in ("/dev/fuse", "/dev/loop-control"):
        if not os.path.exists(device):
            skip(f"no {device}: {reason}")


def import_nbd():
    try:
        import nbd
    except ImportError:
        skip("no nbd module for this Python (package python3-libnbd)")
    return nbd


def run(*command, status=0, **options):
    """Runs a program and returns its result; any other exit status than `status` is a failure."""
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                            errors="surrogateescape", check=False, **options)
    if result.returncode != status:
        raise AssertionError(f"{' '.join(map(str, command))}: exit status {result.returncode}, expected "
                             f"{status}\n{result.stdout[-4000:]}{result.stderr[-4000:]}")
    return result


def mica(*arguments, status=0, **options):
    return run(MICA, *arguments, status=status, **options)


def free_port():
    """A TCP port of this machine that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_raw(path, size, content=b""):
    """A raw image of `size` bytes that starts with `content`."""
    with open(path, "wb") as file:
        file.write(content)
        file.truncate(size)
    return path


class Server:
    """One `mica serve` on a unix socket, as a context; leaving it stops the server and wants status 0."""

    def __init__(self, directory, *exports, options=(), wrapper=()):
        self.socket = os.path.join(directory, "socket")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.socket)
        command = [*wrapper, MICA, "serve", "--socket", self.socket, *options, *exports]
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(command, stderr=self.log, stdout=self.log)
        self._wait_until_it_answers()

    def _wait_until_it_answers(self):
        for _ in range(1000):
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}: {self.output()}")
            with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
                probe.connect(self.socket)
                probe.settimeout(30)
                if probe.recv(1):  # the greeting; before it the kernel alone has answered
                    return
            time.sleep(0.01)
        raise AssertionError("the server does not listen after 10 s")

    def output(self):
        self.log.seek(0)
        return self.log.read()[-4000:]

    def uri(self, export):
        return f"nbd+unix:///{export}?socket={self.socket}"

    def connect(self, export, *, strict=True, **settings):
        """A libnbd handle; settings are names of set_ methods, e.g. request_structured_replies=False."""
        nbd = import_nbd()
        handle = nbd.NBD()
        handle.set_export_name(export)
        if not strict:
            handle.set_strict_mode(0)
        for name, value in settings.items():
            getattr(handle, f"set_{name}")(value)
        handle.connect_unix(self.socket)
        return handle

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=30)
        if status != 0:
            raise AssertionError(f"the server ended with {status}: {self.output()}")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        else:
            print(self.output(), file=sys.stderr)
            self.kill()
        self.log.close()


class TestCase(unittest.TestCase):
    """A case with a scratch folder of its own, `self.directory`."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="mica-test-")
        self.addCleanup(folder.cleanup)
        self.directory = folder.name

    def path(self, name):
        return os.path.join(self.directory, name)

    def sealed_master(self, size, content=b"", name="master.raw"):
        master = make_raw(self.path(name), size, content)
        mica("seal", master)
        return master

    def clone(self, master, name="vm.mica"):
        mica("clone", master, self.path(name))
        return self.path(name)


def main():
    unittest.main(verbosity=2)
