#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What `mica attach-config` prints, read by the tools it is for."""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import harness  # noqa: E402
from harness import Server, mica, run  # noqa: E402

MIB = 1 << 20
DOMAIN = """<domain type='qemu'><name>x</name><memory>65536</memory>
<os><type arch='x86_64'>hvm</type></os><devices>{}</devices></domain>"""


def schema_knows_reconnect():
    with open("/usr/share/libvirt/schemas/domaincommon.rng", encoding="utf-8") as file:
        of_nbd = file.read().split('name="diskSourceNetworkProtocolNBD"')[1].split("</define>")[0]
    return "reconnect" in of_nbd.lower()


class AttachConfig(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.clone(self.sealed_master(8 * MIB, b"m"))
        self.name = "it's 100%, <really>"

    def serve(self):
        return Server(self.directory, f"{self.name}={self.path('vm.mica')}")

    def uri(self, server):
        quoted = "".join(c if c.isalnum() else f"%{ord(c):02X}" for c in self.name)
        return f"nbd+unix:///{quoted}?socket={server.socket}"

    def test_qemu_opens_it(self):
        with self.serve() as server:
            words = shlex.split(mica("attach-config", "--for", "qemu", self.uri(server)).stdout)
            block = json.loads(words[words.index("-blockdev") + 1])
            self.assertEqual(block["reconnect-delay"], 60)
            self.assertEqual(block["discard"], "unmap")
            # A machine that opens the disk, stops before its first instruction, and is told to leave.
            machine = subprocess.run(
                ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-accel", "tcg", "-S", "-qmp", "stdio",
                 *words], input='{"execute":"qmp_capabilities"}{"execute":"query-block"}{"execute":"quit"}', text=True,
                capture_output=True, timeout=60, check=True)
            self.assertIn(f'"virtual-size": {8 * MIB}', machine.stdout)
            self.assertIn('"drv": "nbd"', machine.stdout)

    def test_libvirt_knows_every_word(self):
        with self.serve() as server:
            disk = mica("attach-config", "--for", "libvirt", "--device", "vdb", self.uri(server)).stdout
        self.assertIn("<reconnect delay='60'/>", disk)
        if not schema_knows_reconnect():
            disk = disk.replace("<reconnect delay='60'/>", "")  # an older libvirt skips it
        with tempfile.NamedTemporaryFile("w", suffix=".xml", dir=self.directory) as file:
            file.write(DOMAIN.format(disk))
            file.flush()
            run("virt-xml-validate", file.name, "domain")

    @unittest.skipIf(os.path.exists("/sys/module/nbd"), "would attach the disk to this machine")
    def test_nbd_client_takes_the_options(self):
        with self.serve() as server:
            words = shlex.split(mica("attach-config", "--for", "nbd-client", self.uri(server)).stdout)
            tried = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
            # It has understood everything when all it lacks is the kernel's part.
            self.assertEqual((tried.stdout + tried.stderr).count("size = 8MB"), 4, tried.stderr)
            self.assertIn("nbd module", tried.stderr)

    def test_cloud_hypervisor_gets_a_kernel_device(self):
        with self.serve() as server:
            text = mica("attach-config", "--for", "cloud-hypervisor", self.uri(server)).stdout
        self.assertIn("nbd-client -unix", text)
        self.assertIn("--disk path=/dev/nbd0,direct=on", text)

    def test_mistakes(self):
        mica("attach-config", "--for", "xen", "nbd://host/x", status=2)
        mica("attach-config", "--for", "qemu", "host", status=2)
        mica("attach-config", "--for", "libvirt", "nbd+vsock://2/x", status=1)
        mica("attach-config", "--for", "qemu", "nbds://host/x", status=2)


if __name__ == "__main__":
    harness.need_programs("qemu-system-x86_64", "virt-xml-validate", "nbd-client")
    harness.main()
