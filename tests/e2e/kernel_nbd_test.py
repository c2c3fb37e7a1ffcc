#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The kernel's own NBD client, nbd.ko of a Debian kernel in a guest, uses an export of `mica serve` as a disk."""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import harness  # noqa: E402
from harness import Server, mica, run  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
SECONDS_MAX = 170
MIB = 1 << 20
SIZE = 32 * MIB
STEPS = ("attach", "mkfs", "mount", "fsync", "trim", "unmount", "fsck", "fill", "discard", "zero", "detach")


def run_guest(kernel_dir, port):
    """What the guest printed until it switched itself off."""
    command = [
        "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "512", "-display", "none",
        "-nic", "user,model=virtio-net-pci", "-monitor", "none", "-no-reboot", "-serial", "stdio",
        "-kernel", f"{kernel_dir}/vmlinuz", "-initrd", f"{kernel_dir}/initramfs",
        "-append", f"console=ttyS0 panic=-1 quiet port={port}"]
    guest = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS_MAX, check=False)
    return guest.stdout.decode(errors="replace").replace("\r", "")


class KernelClient(harness.TestCase):
    def test_a_disk_with_a_file_system(self):
        self.clone(self.sealed_master(SIZE))
        port, control = harness.free_port(), self.path("control")
        with Server(self.directory, f"vm={self.path('vm.mica')}",
                    options=("--listen", f"127.0.0.1:{port}", "--control", control)) as server:
            started = time.monotonic()
            console = run_guest(kernel_dir, port)
            print(f"the guest took {time.monotonic() - started:.1f} s", file=sys.stderr)
            exports = json.loads(mica("ctl", "--control", control, "stat", "--json").stdout)["exports"]
            log = server.output()
        self.check_console(console)
        self.assertEqual(log.count('uses export "vm"'), 4, log)
        self.check_requests(exports[0])
        self.check_image(dict(re.findall(r"CHECK written (\S+) (\S+)", console)))

    def check_console(self, console):
        self.assertIn("CHECK end", console, console[-4000:])
        passed = re.findall(r"CHECK passed (\S+)", console)
        self.assertEqual(tuple(passed), STEPS, console[-4000:])
        self.assertIn(f"CHECK size {SIZE}\n", console)
        self.assertNotIn("CHECK discard 0\n", console)
        written = re.findall(r"CHECK written (.*)", console)
        self.assertEqual(len(written), 4)
        self.assertEqual(written, re.findall(r"CHECK read (.*)", console))
        zeroes, kept = re.findall(r"CHECK (?:zeroes|kept) (\S+)", console)
        self.assertEqual(zeroes, hashlib.sha256(bytes(4 * MIB)).hexdigest())
        self.kept = kept

    def check_requests(self, export):
        """The kernel flushes and trims only where that was offered."""
        for command in ("READ", "WRITE", "FLUSH", "TRIM"):
            with self.subTest(command=command):
                self.assertGreater(export["commands"][command]["requests"], 0)
                self.assertEqual(export["commands"][command]["errors"], 0)

    def check_image(self, written):
        """The same bytes and a sound file system, seen by the host after the guest is gone."""
        image = self.path("vm.mica")
        mica("check", image)
        for name in ("file1", "file3", "file4"):
            content = subprocess.run([harness.MICA, "cat", image, f"/{name}"], check=True, capture_output=True).stdout
            self.assertEqual(len(content), 2 * MIB)
            self.assertEqual(hashlib.sha256(content).hexdigest(), written[name])
        mica("cat", image, "/file2", status=1)
        mica("convert", "-O", "raw", image, self.path("flat"))
        run("e2fsck", "-f", "-n", self.path("flat"))
        with open(self.path("flat"), "rb") as file:
            file.seek(24 * MIB)
            self.assertEqual(file.read(4 * MIB), bytes(4 * MIB))
            self.assertEqual(hashlib.sha256(file.read()).hexdigest(), self.kept)
        discarded = [extent for extent in json.loads(mica("map", "--json", image).stdout)
                     if extent["data"] and extent["start"] < 24 * MIB and extent["start"] + extent["length"] > 16 * MIB]
        self.assertEqual(discarded, [])


if __name__ == "__main__":
    harness.need_programs("qemu-system-x86_64", "busybox", "cpio", "dpkg-deb", "apt-get", "nbd-client", "mkfs.ext4",
                          "e2fsck", "blkdiscard")
    with tempfile.TemporaryDirectory(prefix="mica-nbd-kernel-") as kernel_dir:
        run(os.path.join(HERE, "make_initramfs.sh"), kernel_dir, os.path.join(HERE, "kernel_nbd_guest.sh"),
            "/net/core/failover", "net/net_failover", "net/virtio_net", "block/nbd",
            "--", "nbd-client", "mkfs.ext4", "e2fsck", "blkdiscard")
        harness.main()
