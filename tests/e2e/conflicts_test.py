#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What lost in a rebase is listed by `mica rebase --show-conflict`, and comes back as it was."""

import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import harness  # noqa: E402
import pool  # noqa: E402
from harness import mica, run  # noqa: E402

PATCHED = b"patched\n" * 60  # what the patch makes of the files that it changes
OURS = b"owner 0\n" * 50
BINARY = bytes(range(256)) * 5000  # more than one piece, no text


class Conflicts(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.pool = pool.Pool(self.directory)
        binary = self.path("binary")
        with open(binary, "wb") as file:
            file.write(BINARY)
        # Both change file0 and file3; a rule gives file6 to the patch, file9 beside and file12 unsaved.
        commands = self.pool.owner_commands(0, 2)
        commands += self.pool.replace("/etc/file6", binary)
        for number in (9, 12):
            commands += self.pool.replace(f"/etc/file{number}", binary)
        self.vm = self.pool.delta("vm.mica", *commands)
        policy = self.path("site.policy")
        with open(policy, "w", encoding="ascii") as file:
            file.write("/etc/file6 both=theirs\n/etc/file9 save=beside\n/etc/file12 save=none\n")
        mica("rebase", self.vm, "--onto", self.pool.v2, "--policy", policy, status=3)
        self.report = self.vm + ".report.jsonl"

    def show(self, *arguments, status=0):
        """stdout in bytes, and stderr."""
        result = subprocess.run([harness.MICA, "rebase", "--show-conflict", self.report, *arguments],
                                capture_output=True, check=False)
        self.assertEqual(result.returncode, status, result.stderr)
        return result.stdout, result.stderr.decode()

    def records(self):
        *records, summary = [json.loads(line) for line in self.show("--json")[0].splitlines()]
        return {record["path"]: record for record in records}, summary["summary"]

    def test_the_list_has_every_loser(self):
        records, summary = self.records()
        self.assertEqual(set(records), {f"/etc/file{number}" for number in (0, 3, 6, 9, 12)})
        self.assertEqual(summary, {"conflicts": 5, "saved": 3})
        self.assertEqual(records["/etc/file6"]["action"], "theirs")
        self.assertEqual(records["/etc/file6"]["saved_version"]["side"], "ours")
        self.assertEqual(records["/etc/file6"]["saved_version"]["size"], len(BINARY))
        text = self.show()[0].decode()
        self.assertEqual(text.count("version saved as"), 3)
        self.assertIn("warn    /etc/file0: ours", text)
        self.assertRegex(text, "VM: content.*; patch: content")  # and attributes, when a second has passed
        self.assertIn(records["/etc/file0"]["saved"], text)

    def test_the_loser_comes_back_byte_by_byte(self):
        self.assertEqual(self.show("/etc/file0")[0], PATCHED)
        self.assertEqual(self.show("/etc/file6")[0], BINARY)
        document = json.loads(self.show("--json", "/etc/file6")[0])
        with open(document["file"], "rb") as file:
            self.assertEqual(file.read(), BINARY)

    def test_all_versions_side_by_side(self):
        folder = self.path("versions")
        self.show("/etc/file3", "--to", folder)
        base = "".join(f"3 line {line}\n" for line in range(40)).encode()
        self.assertEqual(self.read_all(folder), {"base": base, "ours": OURS, "theirs": PATCHED})
        self.assertIn("versions", self.show("/etc/file3", "--to", folder, status=1)[1])
        # What is gone is left out, and told.
        os.unlink(self.vm + ".before-1")
        folder = self.path("less")
        listed = json.loads(self.show("--json", "/etc/file3", "--to", folder)[0])["versions"]
        self.assertEqual(self.read_all(folder), {"theirs": PATCHED})
        self.assertIn("before-1", listed[1]["missing"])

    @staticmethod
    def read_all(folder):
        content = {}
        for name in os.listdir(folder):
            with open(os.path.join(folder, name), "rb") as file:
                content[name] = file.read()
        return content

    def test_errors_say_what_was_found(self):
        self.assertIn("found none that is /etc/nothing", self.show("/etc/nothing", status=1)[1])
        self.assertIn("carried", self.show("/home/mine0/own1", status=1)[1])
        message = self.show("/etc/file9", status=1)[1]
        name = message.rsplit("mica cat ", 1)[1].split()
        self.assertEqual(run(harness.MICA, "cat", *name).stdout, PATCHED.decode())
        saved = self.records()[0]["/etc/file0"]["saved"]
        with open(saved, "r+b") as file:
            file.write(b"P")
        self.assertIn("changed after the rebase", self.show("/etc/file0", status=1)[1])
        os.unlink(saved)
        self.assertIn(saved, self.show("/etc/file0", status=1)[1])
        self.assertIn("verdict", mica("rebase", "--show-conflict", self.pool.v1, status=2).stderr)
        self.assertIn("--show-conflict", mica("rebase", "--to", "x", self.vm, status=2).stderr)
        self.show("/etc/file0", "/etc/file3", status=2)

    def test_a_pool_that_was_moved_keeps_its_losers(self):
        elsewhere = self.path("elsewhere")
        os.rename(self.pool.vms, elsewhere)
        self.report = os.path.join(elsewhere, "vm.mica.report.jsonl")
        self.assertEqual(self.show("/etc/file0")[0], PATCHED)

    def test_a_forged_report_shows_no_other_file(self):
        saved = self.records()[0]["/etc/file0"]["saved"]
        with open(self.report, encoding="utf-8") as file:
            text = file.read()
        with open(self.report, "w", encoding="utf-8") as file:
            file.write(text.replace(saved, self.path("binary")))
        self.assertIn(".rescue", self.show("/etc/file0", status=1)[1])


if __name__ == "__main__":
    harness.need_programs("mke2fs", "debugfs", "e2fsck")
    harness.main()
