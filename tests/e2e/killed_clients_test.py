#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""killed_clients_test.py [--seed N] [--rounds N]: clients killed at any moment, in clear and over TLS, with requests
outstanding. The server lets go of each, others go on, and the image is sound."""

import argparse
import json
import os
import random
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import harness  # noqa: E402
from harness import Server, mica, run  # noqa: E402

MIB = 1 << 20
SIZE = 64 * MIB
CLIENTS = 4
# Up to 64 requests of all kinds at a time, until it is killed. It says when it begins.
CLIENT = """
import nbd, random, sys
generator = random.Random(int(sys.argv[2]))
handle = nbd.NBD()
handle.set_uri_allow_local_file(True)
handle.add_meta_context("base:allocation")
handle.connect_uri(sys.argv[1])
print("begins", flush=True)
buffers = [nbd.Buffer.from_bytearray(bytearray(generator.randbytes(65536))) for _ in range(8)]
size = handle.get_size()
while True:
    while handle.aio_in_flight() < 64:
        offset, buffer = generator.randrange(size - 70000), generator.choice(buffers)
        generator.choice((lambda: handle.aio_pread(buffer, offset), lambda: handle.aio_pwrite(buffer, offset),
                          lambda: handle.aio_zero(65536, offset), lambda: handle.aio_trim(65536, offset),
                          lambda: handle.aio_flush(), lambda: handle.aio_cache(65536, offset),
                          lambda: handle.aio_block_status(65536, offset, lambda *_: 0)))()
    handle.poll(-1)
"""


class Killed(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.clone(self.sealed_master(SIZE, random.Random(3).randbytes(8 * MIB)))
        self.keys = self.path("keys.psk")
        run("psktool", "-u", "alice", "-p", self.keys)
        self.control = self.path("control")

    def clients_left(self):
        exports = json.loads(mica("ctl", "--control", self.control, "list", "--json").stdout)["exports"]
        return sum(export["clients"] for export in exports)

    def kill_some(self, uri, generator):
        """Some are killed while they connect, some while they work."""
        clients = []
        for _ in range(CLIENTS):
            command = ["/usr/bin/python3", "-c", CLIENT, uri, str(generator.randrange(1 << 30))]
            clients.append(subprocess.Popen(command, stdout=subprocess.PIPE))
        for client in clients[1:]:
            self.assertEqual(client.stdout.readline(), b"begins\n")
        time.sleep(generator.random() / 10)
        for client in clients:
            client.kill()
            client.wait()
            client.stdout.close()

    def test_in_clear_and_over_tls(self):
        generator = random.Random(options.seed)
        print(f"seed {options.seed}", file=sys.stderr)
        with Server(self.directory, f"vm={self.path('vm.mica')}",
                    options=("--control", self.control, "--tls-psk", self.keys, "--tls", "allow", "--quiet")) as server:
            encrypted = f"nbds+unix://alice@/vm?socket={server.socket}&tls-psk-file={self.keys}"
            for _ in range(options.rounds):
                for uri in (server.uri("vm"), encrypted):
                    self.kill_some(uri, generator)
                    run("nbdinfo", "--size", uri)
            deadline = time.monotonic() + 20
            while self.clients_left() > 0:
                self.assertLess(time.monotonic(), deadline)
        mica("check", self.path("vm.mica"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options, sys.argv[1:] = parser.parse_known_args()
    harness.need_programs("nbdinfo", "psktool")
    harness.import_nbd()
    harness.main()
