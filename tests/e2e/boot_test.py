#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""boot_test.py QUICKSTART_DIR: a guest boots from what the quickstart left there, served by `mica serve`.

The control boots B1+D (after a rollback), then B2+D' boots (after a rebase). Each has to reach the login
prompt on the serial console, and the owner's own service prints there what the machine has: the owner's
packages and files both times, the patch only the second time.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import harness  # noqa: E402
from guest_boot import boot  # noqa: E402
from harness import Server, mica, run  # noqa: E402

OWNER_PACKAGES = ("openssh-server", "cron", "vim-tiny")
PATCH_PACKAGES = ("dbus", "rsyslog", "nano")


class Console:
    """What the guest's check printed."""

    def __init__(self, text):
        self.text = text
        self.packages = dict(re.findall(r"CHECK package (\S+) (\S+) installed", text))
        self.users = dict(re.findall(r"CHECK user ([^:\s]+):[^:]*:(\d+):", text))
        self.files = dict(re.findall(r"CHECK file (\S+) ([0-9a-f]{64})", text))
        self.program = "".join(re.findall(r"CHECK run (.*)", text)).strip()
        self.audit = "".join(re.findall(r"CHECK audit (\d+)", text))


class Boot(harness.TestCase):
    def boot_now(self):
        """Boots a copy of the delta: the guest writes, and the quickstart's own disk stays as it is."""
        copy = f"{quickstart}/boot.mica"
        shutil.copy(f"{quickstart}/vm1.mica", copy)
        self.addCleanup(os.unlink, copy)
        with Server(self.directory, f"boot={copy}") as server:
            started = time.monotonic()
            text = boot(server.uri("boot"), f"{kernel_dir}/vmlinuz", f"{kernel_dir}/initramfs")
            print(f"booted in {time.monotonic() - started:.1f} s", file=sys.stderr)
        self.assertIn("login:", text, text[-4000:])
        self.assertIn("CHECK end", text, text[-4000:])
        mica("check", copy)
        return Console(text)

    def check_owner(self, console):
        for package in OWNER_PACKAGES:
            self.assertIn(package, console.packages)
        self.assertEqual(console.users["alice"], "1000")
        self.assertIn("sshd", console.users)
        self.assertEqual(console.audit, "0")

    def test_1_control_before_the_rebase(self):
        mica("rollback", f"{quickstart}/vm1.mica")
        console = self.boot_now()
        self.check_owner(console)
        for package in PATCH_PACKAGES:
            self.assertNotIn(package, console.packages)
        self.assertEqual(console.program, "site-tools 1.0")

    def test_2_after_the_rebase(self):
        before = self.guest_files()
        result = subprocess.run([harness.MICA, "rebase", f"{quickstart}/vm1.mica", "--onto",
                                 f"{quickstart}/master-v2.raw"], check=False)
        self.assertIn(result.returncode, (0, 3))
        console = self.boot_now()
        self.check_owner(console)
        for package in PATCH_PACKAGES:
            self.assertIn(package, console.packages)
        self.assertEqual(console.packages["site-tools"], "2.0")
        self.assertEqual(console.program, "site-tools 2.0")
        self.assertNotEqual(console.users["sshd"], console.users["messagebus"])
        for path, digest in before.items():
            self.assertEqual(console.files[path], digest, path)

    def guest_files(self):
        """Digests of the owner's own files as they were before the rebase, read without a mount."""
        digests = {}
        for path in ("/home/alice/documents/photo.raw", "/home/alice/documents/numbers.txt", "/srv/data/table.bin"):
            content = subprocess.run([harness.MICA, "cat", f"{quickstart}/vm1.mica:1", path], check=True,
                                     capture_output=True).stdout
            digests[path] = hashlib.sha256(content).hexdigest()
        return digests


if __name__ == "__main__":
    harness.need_programs("qemu-system-x86_64", "busybox", "cpio", "dpkg-deb", "apt-get")
    quickstart = sys.argv.pop(1)
    if not os.path.exists(f"{quickstart}/vm1.mica"):
        harness.skip(f"the quickstart left nothing in {quickstart}")
    with tempfile.TemporaryDirectory(prefix="mica-boot-") as kernel_dir:
        run(os.path.join(os.path.dirname(__file__), "make_initramfs.sh"), kernel_dir)
        harness.main()
