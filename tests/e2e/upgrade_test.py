#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A server changes hands under load, and is killed and started again in between.

Clients write blocks that name themselves, 16 in flight on each of four connections to two exports, and flush now
and then (kill_test.py). An upgrade must be no error for any of them. After kill -9 they reconnect, find the same
export and every acknowledged flush.

Replay one seed with: upgrade_test.py --seed N [--rounds N]
"""

import argparse
import array
import json
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import harness  # noqa: E402
import kill_test  # noqa: E402
from harness import mica  # noqa: E402

nbd = harness.import_nbd()

EXPORTS = ("vm1", "vm2")
READ = struct.pack(">IHHQQI", 0x25609513, 0, 0, 1, 0, 4096)


class Service:
    """The server, whichever process that is at the moment."""

    def __init__(self, directory):
        self.directory = directory
        self.socket, self.control = (os.path.join(directory, name) for name in ("socket", "control"))
        self.log = open(os.path.join(directory, "log"), "w+", encoding="utf-8")
        self.start()

    def launch(self, *arguments):
        process = subprocess.Popen([harness.MICA, "serve", *arguments], stdout=subprocess.PIPE, stderr=self.log)
        process.stdout.readline()  # the first URI: it is ready
        return process

    def start(self):
        images = [f"{name}={os.path.join(self.directory, name)}.mica" for name in EXPORTS]
        self.process = self.launch("--threads", "2", "--socket", self.socket, "--control", self.control, *images)

    def upgrade(self):
        successor = self.launch("--upgrade", self.control)
        if self.process.wait(timeout=60) != 0:
            raise AssertionError(f"the old server ended with {self.process.returncode}\n{self.words()}")
        if successor.poll() is not None:
            raise AssertionError(f"the new server ended with {successor.returncode}\n{self.words()}")
        self.process = successor

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        if self.process.wait(timeout=60) != 0:
            raise AssertionError(f"the server ended with {self.process.returncode}\n{self.words()}")
        if os.path.exists(self.socket) or os.path.exists(self.control):
            raise AssertionError("the sockets are still there")

    def words(self):
        self.log.seek(0)
        return self.log.read()[-4000:]

    def requests(self, name):
        """How many the server has answered for this export."""
        answer = json.loads(mica("ctl", "--control", self.control, "stat", "--json").stdout)
        (export,) = (one for one in answer["exports"] if one["name"] == name)
        return sum(one["requests"] for one in export["commands"].values())

    def connect(self, name):
        handle = nbd.NBD()
        handle.set_export_name(name)
        handle.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
        handle.connect_unix(self.socket)
        return handle


class Worker(kill_test.Client):
    """Half of the blocks of one export, until it is told to stop or loses the connection."""

    def begin(self, handle):
        self.handle, self.over, self.error = handle, False, None
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def work(self):
        try:
            while not self.over:
                self.write_some()
                if self.random.random() < 0.3:
                    self.flush()
                if self.random.random() < 0.1:
                    self.handle.block_status(1 << 20, 0, lambda *_: 0)
        except nbd.Error as error:
            self.error = error

    def end(self):
        self.over = True
        self.thread.join()
        return self.error

    def verify_and_forget(self, handle):
        kill_test.verify(handle, [self])
        self.version, self.acknowledged = {}, {}


def run_rounds(service, workers, rounds, generator):
    """workers: (name of the export, Worker); each round is an upgrade, or a kill with a restart."""
    upgrades = kills = 0
    for name, worker in workers:
        worker.begin(service.connect(name))
    for _ in range(rounds):
        workers[0][1].thread.join(timeout=generator.uniform(0.02, 0.3))
        if generator.random() < 0.6 or upgrades == 0:
            service.upgrade()
            upgrades += 1
            for _, worker in workers:
                if worker.error is not None:
                    raise AssertionError(f"an upgrade was an error for a client: {worker.error}\n{service.words()}")
            continue
        service.kill()
        kills += 1
        for _, worker in workers:
            worker.end()  # with an error, unless it was between two requests
        service.start()
        for name, worker in workers:
            handle = service.connect(name)
            if handle.get_size() != kill_test.BLOCKS * kill_test.BLOCK:
                raise AssertionError("another disk after the restart")
            worker.verify_and_forget(handle)
            worker.begin(handle)
    for name, worker in workers:
        if worker.end() is not None:
            raise AssertionError(f"a client failed: {worker.error}\n{service.words()}")
        worker.flush()
        kill_test.verify(service.connect(name), [worker])
        if worker.handle.get_size() != kill_test.BLOCKS * kill_test.BLOCK:
            raise AssertionError("another disk after the upgrades")
        worker.handle.shutdown()
    return upgrades, kills, sum(worker.flushes for _, worker in workers)


def raw_connection(service):
    """A client in transmission, without structured replies, that does only what it is told."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(30)
    client.connect(service.socket)
    client.recv(18, socket.MSG_WAITALL)
    client.sendall(struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", 1, 3) + b"vm1")
    client.recv(10, socket.MSG_WAITALL)
    return client


def cut_requests_survive(service):
    """Requests of which the old server has seen a part, and requests that wait while it changes hands."""
    client = raw_connection(service)
    for cut in (1, 16, 27):
        client.sendall(READ[:cut])
        service.upgrade()
        client.sendall(READ[cut:])
        header = client.recv(16, socket.MSG_WAITALL)
        if struct.unpack_from(">II", header) != (0x67446698, 0):
            raise AssertionError(f"cut at {cut}: {header.hex()}")
        if len(client.recv(4096, socket.MSG_WAITALL)) != 4096:
            raise AssertionError("the data is missing")
    write = struct.pack(">IHHQQI", 0x25609513, 0, 1, 2, 0, 65536)
    client.sendall(write + bytes(1000))
    rest = threading.Timer(0.3, lambda: client.sendall(bytes(65536 - 1000) + READ))
    rest.start()
    service.upgrade()  # waits for the rest of the write
    rest.join()
    if struct.unpack(">IIQ", client.recv(16, socket.MSG_WAITALL)) != (0x67446698, 0, 2):
        raise AssertionError("a write that was being sent was lost")
    client.recv(16 + 4096, socket.MSG_WAITALL)
    client.close()


def a_failed_upgrade_is_undone(service):
    """Whoever asked for the server goes away with all it was given: the old one goes on, clients notice nothing."""
    handle = service.connect("vm2")
    handle.pwrite(b"\x01" * 512, (kill_test.BLOCKS - 1) * kill_test.BLOCK)
    with socket.socket(socket.AF_UNIX) as thief:
        thief.connect(service.control)
        thief.sendall(b'{"command":"hand-over"}\n')
        answer = b""
        while not answer.endswith(b"\n"):
            answer += thief.recv(1)
        wanted = json.loads(answer)["descriptors"]
        given = array.array("i")
        while len(given) < wanted:
            _, ancillary, _, _ = thief.recvmsg(1, 8192)
            for _, _, data in ancillary:
                given.frombytes(data)
        busy = subprocess.run([harness.MICA, "ctl", "--control", service.control, "list"], check=False,
                              capture_output=True)
        if busy.returncode == 0:
            raise AssertionError("a command was taken in the middle of a change of hands")
        for descriptor in given:
            os.close(descriptor)
    if handle.pread(512, (kill_test.BLOCKS - 1) * kill_test.BLOCK) != b"\x01" * 512:
        raise AssertionError("wrong data after a failed upgrade")
    handle.pwrite(bytes(512), (kill_test.BLOCKS - 1) * kill_test.BLOCK)
    handle.flush()
    service.connect("vm1").shutdown()
    handle.shutdown()


def qemu_goes_on(service):
    """For QEMU, which reconnects, upgrades and a kill among its requests are pauses. It writes zeroes over zeroes."""
    disk = f"driver=nbd,server.type=unix,server.path={service.socket},export=vm2,reconnect-delay=60"
    bench = subprocess.Popen(["qemu-img", "bench", "-w", "-c", "6000", "-d", "16", "-s", "4096", "--flush-interval=32",
                              "--image-opts", disk], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        while service.requests("vm2") == 0 and bench.poll() is None:
            pass
        service.upgrade()
        service.kill()
        service.start()
        service.upgrade()
        if bench.wait(timeout=60) != 0:
            raise AssertionError(f"qemu-img: {bench.stdout.read()}\n{service.words()}")
    finally:
        bench.kill()
        bench.stdout.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=12)
    arguments = parser.parse_args()
    harness.need_programs("qemu-img")
    generator = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="mica-upgrade-") as directory:
        master = harness.make_raw(os.path.join(directory, "master.raw"), kill_test.BLOCKS * kill_test.BLOCK)
        mica("seal", master)
        for name in EXPORTS:
            mica("clone", master, os.path.join(directory, f"{name}.mica"))
        service = Service(directory)
        try:
            cut_requests_survive(service)
            a_failed_upgrade_is_undone(service)
            qemu_goes_on(service)
            workers = [(name, Worker(None, arguments.seed * 4 + index * 2 + parity, parity, {}))
                       for index, name in enumerate(EXPORTS) for parity in (0, 1)]
            begin = time.monotonic()
            upgrades, kills, flushes = run_rounds(service, workers, arguments.rounds, generator)
            service.stop()
        finally:
            service.kill()
            service.log.close()
        for name in EXPORTS:
            mica("check", os.path.join(directory, f"{name}.mica"))
    print(f"{upgrades} upgrades without an error, {kills} kills, {flushes} acknowledged flushes held, "
          f"{time.monotonic() - begin:.1f} s (seed {arguments.seed})")


if __name__ == "__main__":
    main()
