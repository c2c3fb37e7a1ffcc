#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`mica rebase` of a pool of VMs: killed and resumed, with VMs in use, hostile ones, canaries and waves. More VMs
with MICA_FLEET_VMS."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import harness  # noqa: E402
import pool  # noqa: E402
from harness import Server, mica  # noqa: E402

VMS = int(os.environ.get("MICA_FLEET_VMS", "24"))
VARIANTS = 4
KILLS = 3


def processes_of(folder):
    """Numbers of the processes whose command line speaks of the folder."""
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{number}/cmdline", "rb") as file:
                if folder.encode() in file.read() and int(number) != os.getpid():
                    found.append(int(number))
        except OSError:
            continue
    return found


class Fleet(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.pool = pool.Pool(self.directory)
        self.job = self.path("job")

    def vm(self, name):
        return os.path.join(self.pool.vms, name)

    def rebase(self, *arguments, status=0):
        return mica("rebase", "--job", self.job, "--onto", self.pool.v2, *arguments, status=status)

    def test_killed_three_times_and_resumed(self):
        """Every VM ends as its twin that was rebased alone."""
        expected = {}
        for variant in range(VARIANTS):
            delta = self.pool.delta(f"v{variant}.mica", *self.pool.owner_commands(variant, variant))
            for number in range(variant, VMS, VARIANTS):
                shutil.copy(delta, self.vm(f"vm{number}.mica"))
            mica("rebase", delta, "--onto", self.pool.v2, status=3 if variant else 0)
            expected[variant] = self.pool.tree_of(delta)
        self.assertNotEqual(expected[0], expected[1])
        for kill in range(KILLS):
            self.run_and_kill(after=2 + kill)
        result = self.rebase("-j", "2", "--json", self.vm("vm*.mica"), status=3)
        self.assertEqual(json.loads(result.stdout.splitlines()[-1])["summary"]["states"],
                         {"switched": VMS // VARIANTS, "conflicts": VMS - VMS // VARIANTS})
        _, rows = pool.report(self.job)
        self.assertEqual(len(rows), VMS)
        for number in range(VMS):
            variant, name = number % VARIANTS, f"vm{number}.mica"
            self.assertEqual(rows[name]["state"], "conflicts" if variant else "switched")
            self.assertEqual(rows[name]["summary"]["counts"]["warn"], variant)
            if number < 3 * VARIANTS:
                self.assertEqual(self.pool.tree_of(self.vm(name)), expected[variant], name)
            self.assertTrue(os.path.exists(self.vm(name) + ".before-1"))
        leftovers = [name for name in os.listdir(self.pool.vms) if re.search(r"rebasing|before-2", name)]
        self.assertEqual(leftovers, [])
        # Each VM was switched once: nothing is done a second time.
        for states in pool.journal_states(self.job).values():
            self.assertEqual(len([state for state in states if state in ("switched", "conflicts")]), 1)
        again = self.rebase("-j", "2", "--json", self.vm("vm*.mica"), status=3)
        self.assertEqual(len(again.stdout.splitlines()), 1)

    def run_and_kill(self, after):
        """SIGKILL to the job when so many VMs have been told to have ended."""
        command = [harness.MICA, "rebase", "-j", "2", "--json", "--job", self.job, "--onto", self.pool.v2,
                   self.vm("vm*.mica")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(after):
            self.assertEqual(json.loads(process.stdout.readline())["event"], "vm")
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        deadline = time.monotonic() + 20
        while processes_of(self.pool.vms):  # they end with the job, all of them
            self.assertLess(time.monotonic(), deadline, "processes outlive the job")
            time.sleep(0.02)

    def test_each_vm_has_its_own_fate(self):
        self.pool.delta("good.mica", *self.pool.owner_commands(0, 0))
        self.pool.delta("alone.mica", *self.pool.owner_commands(1, 1))
        self.pool.delta("used.mica", *self.pool.owner_commands(2, 0))
        hostile = self.pool.delta("hostile.mica", *self.pool.owner_commands(3, 0))
        with Server(self.directory, f"x={hostile}") as server:
            server.connect("x").pwrite(b"\xff" * 4096, 0)
        with open(self.vm("noimage.mica"), "wb") as file:
            file.write(b"nothing")
        # What somebody did without the job counts, with its report.
        mica("rebase", self.vm("alone.mica"), "--onto", self.pool.v2, status=3)
        with Server(self.directory, f"x={self.vm('used.mica')}"):
            self.rebase("-j", "2", self.vm("*.mica"), status=1)
        report, rows = pool.report(self.job)
        self.assertEqual({name: row["state"] for name, row in rows.items()},
                         {"good.mica": "switched", "alone.mica": "conflicts", "used.mica": "busy",
                          "hostile.mica": "failed", "noimage.mica": "failed"})
        self.assertIn("hostile.mica", rows["hostile.mica"]["message"])
        self.assertEqual(rows["hostile.mica"]["attempts"], 2)  # tried again once
        self.assertGreater(report["bytes"]["shared"], 0)
        with open(os.path.join(self.job, "report.html"), encoding="utf-8") as file:
            page = file.read()
        for name in rows:
            self.assertIn(name, page)
        # Busy VMs go with the next run, bad ones when asked for.
        self.rebase(self.vm("*.mica"), status=1)
        _, rows = pool.report(self.job)
        self.assertEqual(rows["used.mica"]["state"], "switched")
        self.assertEqual(rows["hostile.mica"]["attempts"], 2)
        self.rebase("--retry", "--retries", "0", self.vm("*.mica"), status=1)
        _, rows = pool.report(self.job)
        self.assertEqual(rows["hostile.mica"]["attempts"], 3)
        # One that was rolled back stays so, unless it is asked for.
        mica("rollback", self.vm("good.mica"))
        self.rebase(self.vm("good.mica"))
        self.assertFalse(os.path.exists(self.vm("good.mica.before-1")))
        self.rebase("--retry", self.vm("good.mica"))
        self.assertTrue(os.path.exists(self.vm("good.mica.before-1")))

    def test_side_by_side_without_a_job(self):
        """As under GNU parallel: the caches of the masters are made by whoever comes first; one VM has one rebase."""
        for number in range(4):
            self.pool.delta(f"vm{number}.mica", *self.pool.owner_commands(number, number % 2))
        command = [harness.MICA, "rebase", "--onto", self.pool.v2]
        vms = [self.vm(f"vm{number}.mica") for number in (0, 1, 2, 3, 3, 3)]
        running = [subprocess.Popen([*command, vm], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                   for vm in vms]
        ended = [(process.communicate()[1], process.returncode) for process in running]
        self.assertEqual([status for _, status in ended[:3]], [0, 3, 0], ended)
        # Of three on one VM one does it; the others find it busy, or done.
        statuses = sorted(status for _, status in ended[3:])
        self.assertEqual(statuses.count(3), 1, ended)
        self.assertTrue(set(statuses) <= {2, 3, 5}, ended)
        self.assertFalse(os.path.exists(self.vm("vm3.mica.before-2")))
        self.rebase(self.vm("vm*.mica"), status=3)
        _, rows = pool.report(self.job)
        self.assertEqual([rows[f"vm{number}.mica"]["state"] for number in range(4)],
                         ["switched", "conflicts"] * 2)

    def test_workers_are_confined(self):
        """What reads the guest has no system calls, rights or files to spare."""
        for number in range(4):
            self.pool.delta(f"vm{number}.mica", *self.pool.owner_commands(number, 0))
        process = subprocess.Popen([harness.MICA, "rebase", "-j", "2", "--job", self.job, "--onto", self.pool.v2,
                                    self.vm("*.mica")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seen = set()
        while process.poll() is None:
            for number in filter(str.isdigit, os.listdir("/proc")):
                try:
                    with open(f"/proc/{number}/cmdline", "rb") as file:
                        if not file.read().startswith(b"mica\0worker"):
                            continue
                    with open(f"/proc/{number}/status", encoding="ascii", errors="replace") as file:
                        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
                except OSError:
                    continue
                seen.add((status["Seccomp"], status["NoNewPrivs"], status["CapEff"].lstrip("0")))
        self.assertEqual(process.returncode, 0)
        self.assertTrue(seen & {("2", "1", "4"), ("2", "1", "")}, seen)

    def test_canaries_and_waves(self):
        for number in range(5):
            self.pool.delta(f"vm{number}.mica", *self.pool.owner_commands(number, number == 0))
        vms = [self.vm(f"vm{number}.mica") for number in range(5)]
        stopped = self.rebase("--canary", "1", "--halt-on-conflicts", *vms, status=1)
        self.assertIn("canary", stopped.stdout)
        _, rows = pool.report(self.job)
        self.assertEqual([rows[f"vm{number}.mica"]["state"] for number in range(5)],
                         ["conflicts"] + ["pending"] * 4)
        # The next run goes on without the canary; a wave of at most 5 - 3, one of them.
        with open(self.path("pool.txt"), "w", encoding="utf-8") as file:
            file.write("# the pool\n\nvms/vm*.mica\n")
        self.rebase("--pool", self.path("pool.txt"), "--min-ready", "3", "--waves", "1", status=3)
        _, rows = pool.report(self.job)
        self.assertEqual([rows[f"vm{number}.mica"]["state"] for number in range(5)],
                         ["conflicts"] + ["switched"] * 2 + ["pending"] * 2)

    def test_bounds(self):
        """A worker that may not use enough memory fails its VM, clearly."""
        self.pool.delta("vm.mica", *self.pool.owner_commands(0, 0))
        before = self.pool.tree_of(self.vm("vm.mica"))
        message = mica("rebase", "--worker-memory=24M", self.vm("vm.mica"), "--onto", self.pool.v2,
                       status=1).stderr
        self.assertIn("memory", message)
        self.assertEqual(self.pool.tree_of(self.vm("vm.mica")), before)
        self.assertEqual(os.listdir(self.pool.vms), ["vm.mica"])

    def test_one_job_at_a_time_and_one_master(self):
        self.pool.delta("vm.mica", *self.pool.owner_commands(0, 0))
        self.rebase(self.vm("vm.mica"))
        self.assertIn("sealed", mica("rebase", "-j1", "--job", self.job, "--onto", self.vm("vm.mica"),
                                     self.vm("vm.mica.before-1"), status=2).stderr)
        shutil.copy(self.pool.v1, self.path("other.raw"))
        mica("seal", self.path("other.raw"))
        message = mica("rebase", "--job", self.job, "--onto", self.path("other.raw"), self.vm("vm.mica"),
                       status=6).stderr
        self.assertIn("--job", message)


if __name__ == "__main__":
    harness.need_programs("mke2fs", "debugfs", "e2fsck")
    harness.main()
