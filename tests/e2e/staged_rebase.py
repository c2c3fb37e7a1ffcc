#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Generated rebases of VMs that run meanwhile: a random owner changes the mounted export of a server, what
can be staged is staged in between, the file system stays mounted; then the VM is off and the rebase is
finished. The oracle of generated_rebase.py looks at every path of the result.

Replay one failure with: staged_rebase.py --seed N --count 1 --keep
"""

import json
import os
import subprocess
import sys

import generated_rebase
from generated_rebase import Story, harness, mica, record
from harness import run
from mounts import exported
from rebase_generator import Side


class StagedStory(Story):
    """Theirs first: the new master is there when the VM is still running."""

    def run(self):
        base = self.make_base()
        self.theirs, self.theirs_log = self.change(self.path("theirs.raw"), base.names, 2_000_000)
        mica("seal", self.path("theirs.raw"))
        self.ours, self.ours_log = self.change_running(base)
        self.check_oracle()
        self.rebase()
        return self.judge()

    def change_running(self, base):
        """From one to three times, something is changed, staged, and changed further."""
        mica("clone", self.path("base.raw"), self.path("vm.mica"))
        control = self.path("control")
        with exported(self.path("vm.mica"), self.directory, options=("--control", control)) as disk, \
                self.mounted(disk) as root:
            side = Side(root, self.random.random(), base.names, 1_000_000, self.hot)
            for _ in range(self.random.randint(1, 3)):
                side.change(self.random.choice((3, 12, 30)))
                if self.random.random() < 0.5:
                    run("sync", "--file-system", root)  # else as after a power cut: files in memory are lost
                self.stage(control)
            side.change(self.random.choice((1, 3, 12)))
            return record(root, side.names), side.log

    def stage(self, control):
        result = subprocess.run(
            [harness.MICA, "rebase", "--stage", *self.kind.rebase_options, self.path("vm.mica"), "--onto", self.path("theirs.raw"), "--control",
             control], capture_output=True, text=True, check=False)
        if result.returncode not in (0, 3):
            raise AssertionError(f"mica rebase --stage: {result.returncode}\n{result.stdout}{result.stderr}")

    def rebase(self):
        result = subprocess.run(
            [harness.MICA, "rebase", *self.kind.rebase_options, self.path("vm.mica"), "--onto", self.path("theirs.raw"), "--report",
             self.path("report.jsonl")], capture_output=True, text=True, check=False)
        if result.returncode not in (0, 3):
            raise AssertionError(f"mica rebase: {result.returncode}\n{result.stdout}{result.stderr}")
        with open(self.path("report.jsonl"), encoding="utf-8") as report:
            summary = json.loads(report.readlines()[-1])["summary"]
        figures = next(text for key, text in summary.items() if key.startswith("partition_"))
        self.caught_up = "what was staged" in figures
        if not self.caught_up and result.stderr:
            print(f"seed {self.seed} started over: {result.stderr}")
        left = [name for name in os.listdir(self.directory) if ".staged-" in name or ".rebasing" in name]
        if left:
            raise AssertionError(f"left behind: {left}")
        result = self.path("vm.mica.quarantine" if "quarantined" in summary else "vm.mica")
        mica("convert", "-O", "raw", result, self.path("result.raw"))


if __name__ == "__main__":
    sys.exit(generated_rebase.main(StagedStory))
