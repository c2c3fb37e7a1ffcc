#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`mica rebase --stage` and what finishes it: done ahead while a server has the VM, caught up when it is off, and
the export switched under the clients that come next. Whatever is wrong with what was staged, the result is that of
a rebase from the start. staged_rebase.py does the same with generated changes."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import harness  # noqa: E402
import pool  # noqa: E402
from harness import Server, mica, run  # noqa: E402
from mounts import FuseFile  # noqa: E402


class RebasedVm(harness.TestCase):
    """A VM, what is done to it, and what it becomes."""

    def setUp(self):
        super().setUp()
        self.pool = pool.Pool(self.directory)
        self.vm = self.pool.delta("vm.mica", *self.pool.owner_commands(0, 2))
        self.control = self.path("control")
        self.later = self.pool.text("later\n" * 30)
        self.saved = self.path("saved.mica")
        shutil.copy(self.vm, self.saved)

    def restore(self):
        """The VM as it was, and nothing beside it."""
        for name in os.listdir(self.pool.vms):
            path = os.path.join(self.pool.vms, name)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
        shutil.copy(self.saved, self.vm)

    def names(self):
        return sorted(name for name in os.listdir(self.pool.vms) if name != "vm.mica")

    def snapshots(self, image):
        return [one["name"] for one in json.loads(mica("snapshot", "-l", "--json", image).stdout)["snapshots"]]

    def stage(self, *arguments, onto=None, status=3):
        return mica("rebase", "--stage", self.vm, "--onto", onto or self.pool.v2, *arguments, status=status)

    def finish(self, *arguments, status=3):
        """Rebases; returns how many objects were still to be done, None when it was done from the start."""
        mica("rebase", self.vm, "--onto", self.pool.v2, *arguments, status=status)
        with open(self.vm + ".report.jsonl", encoding="utf-8") as report:
            summary = json.loads(report.readlines()[-1])["summary"]
        figures = next(text for key, text in summary.items() if key.startswith("partition_"))
        left = figures.split(" objects still to be done after what was staged")
        return int(left[0]) if len(left) == 2 else None

    def work_further(self):
        """What the owner does between staging and power-off, with the VM's disk in nobody's hands."""
        self.pool.change(self.vm, *self.changes())

    def changes(self):
        return (f"write {self.later} /home/later", "rm /home/mine0/own1",
                *self.pool.replace("/home/mine0/own2", self.later))

    def expected(self, *arguments, status=3):
        """The tree that a rebase from the start gives, made beside the VM."""
        result = os.path.join(self.pool.vms, "expected.mica")
        mica("rebase", self.vm, "--onto", self.pool.v2, "-o", result, *arguments, status=status)
        tree = self.pool.tree_of(result)
        for name in os.listdir(self.pool.vms):
            if name.startswith("expected."):
                path = os.path.join(self.pool.vms, name)
                shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
        return tree

    def expect_finished(self, tree):
        self.assertEqual(self.pool.tree_of(self.vm), tree)
        self.assertEqual(self.snapshots(self.vm), [])
        self.assertEqual([name for name in self.names() if "staged" in name or "rebasing" in name], [])
        kept = self.vm + ".before-1"
        if os.path.exists(kept):
            self.assertEqual(self.snapshots(kept), [])
        mica("check", self.vm)


class Staged(RebasedVm):
    """While nobody has the VM's image."""

    def test_catches_up(self):
        self.stage()
        self.assertEqual(self.names(), ["vm.mica.staged-1"])
        self.assertEqual(self.snapshots(self.vm), ["mica-staged-1"])
        self.work_further()
        self.stage()
        self.assertEqual(self.names(), ["vm.mica.staged-2"])
        self.assertEqual(self.snapshots(self.vm), ["mica-staged-2"])
        tree = self.expected()
        left = self.finish()
        self.assertIsNotNone(left)
        self.assertLess(left, 10)
        self.expect_finished(tree)
        mica("rebase", "--verify", self.vm + ".report.jsonl")
        mica("rollback", self.vm)
        self.assertIn("home/later", self.pool.tree_of(self.vm))

    def test_many(self):
        vms = [self.vm, *(self.pool.delta(f"other{number}.mica", *self.pool.owner_commands(number, 0))
                          for number in (1, 2))]
        pattern = os.path.join(self.pool.vms, "*.mica")
        lines = mica("rebase", "--stage", "--json", "-j", "2", pattern, "--onto", self.pool.v2, status=3).stdout
        records = [json.loads(line) for line in lines.splitlines()]
        self.assertEqual(records[-1]["summary"], {"vms": 3, "states": {"conflicts": 1, "staged": 2}})
        self.assertEqual(sorted(record["vm"] for record in records[:-1]), sorted(vms))
        mica("rebase", "-j", "2", pattern, "--onto", self.pool.v2, status=3)
        for vm in vms:
            with open(vm + ".report.jsonl", encoding="utf-8") as report:
                self.assertIn("objects still to be done after what was staged", report.read())
        self.assertEqual([name for name in self.names() if "staged" in name], [])
        mica("rebase", "--unstage", pattern)

    def test_unstaged(self):
        self.stage()
        mica("rebase", "--unstage", self.vm)
        self.assertEqual((self.names(), self.snapshots(self.vm)), ([], []))
        self.assertIsNone(self.finish())

    def test_the_policy_of_the_end_counts(self):
        self.stage()
        self.work_further()
        policy = self.path("theirs.policy")
        with open(policy, "w", encoding="ascii") as file:
            file.write("/etc/** both=theirs\n/home/mine0/** one=drop\n")
        tree = self.expected("--policy", policy, status=0)
        self.assertNotIn("home/mine0/own3", tree)
        self.finish("--policy", policy, status=0)
        self.expect_finished(tree)

    def test_what_does_not_fit_is_done_from_the_start(self):
        self.work_further()
        shutil.copy(self.vm, self.saved)
        tree = self.expected()

        def for_another_master():
            v3 = self.path("v3.raw")
            shutil.copy(self.pool.v1, v3)
            pool.debugfs(v3, "rm /etc/file96")
            mica("seal", v3)
            self.stage(onto=v3, status=0)

        def another_quota():
            self.stage()
            mica("quota", "--hard", "1G", self.vm)

        def without_its_snapshot():
            self.stage()
            mica("snapshot", "-d", "mica-staged-1", self.vm)

        def another_vms_delta():
            self.stage()
            other = self.pool.delta("other.mica", *self.pool.owner_commands(1, 1))
            mica("rebase", "--stage", other, "--onto", self.pool.v2, status=3)
            os.rename(other + ".staged-1", self.vm + ".staged-1")

        def damaged():
            self.stage()
            with open(self.vm + ".staged-1", "r+b") as file:
                for offset in range(65536, os.path.getsize(file.name) - 4096, 8192):
                    file.seek(offset)
                    file.write(b"damage")

        def half_a_file():
            self.stage()
            with open(self.vm + ".staged-1", "r+b") as file:
                file.truncate(30000)

        for break_it in (for_another_master, another_quota, without_its_snapshot, another_vms_delta, damaged, half_a_file):
            with self.subTest(break_it.__name__):
                break_it()
                self.assertIsNone(self.finish())
                self.expect_finished(tree)
                self.restore()

    def run_worker(self, **request):
        """A worker that waits for the VM, told that it is off before it has read its request."""
        work = self.path("work")
        os.mkdir(work)
        request |= {"role": "build", "parent": os.getpid(), "onto": self.pool.v2, "work": work}
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            ours.send(json.dumps(request).encode())
            ours.send(b"!")
            return subprocess.run([harness.MICA, "worker", "--io=blocking"], stdin=theirs, capture_output=True,
                                  text=True, timeout=60, check=False)

    def test_a_worker_tells_its_request_from_the_word_that_follows(self):
        worker = self.run_worker(vm=self.path("nothing"), staged="before", delta=self.path("new"),
                                 delta_before=self.path("old"))
        self.assertEqual(worker.returncode, 0, worker.stderr)
        self.assertTrue(worker.stdout.startswith("misfit "), worker.stdout)

    def test_a_worker_that_starts_late_may_write_the_delta_under_its_new_name(self):
        self.stage()
        os.rename(self.vm + ".staged-1", self.vm + ".rebasing")
        worker = self.run_worker(vm=self.vm, staged="mica-staged-1", delta=self.vm + ".rebasing",
                                 delta_before=self.vm + ".staged-1")
        self.assertEqual((worker.returncode, worker.stdout), (3, "good"), worker.stderr)

    def test_refuses_what_makes_no_sense(self):
        for arguments in (("--stage", "-o", "x"), ("--stage", "--report", "x"), ("--unstage", "-o", "x")):
            self.assertIn("--stage", mica("rebase", *arguments, self.vm, "--onto", self.pool.v2, status=2).stderr)
        mica("rebase", "--stage", self.vm, "--onto", self.pool.v2, "--control", self.path("nobody"), status=1)
        self.assertEqual((self.names(), self.snapshots(self.vm)), ([], []))
        unsealed = self.path("unsealed.raw")
        shutil.copy(self.pool.v1, unsealed)
        self.assertIn("seal", self.stage(onto=unsealed, status=2).stderr)
        self.assertEqual((self.names(), self.snapshots(self.vm)), ([], []))


class Served(RebasedVm):
    """The same VM while a server has it. The owner works with debugfs on nbdfuse."""

    def setUp(self):
        harness.need_programs("nbdfuse", "fusermount3")
        super().setUp()
        self.start_server()
        self.addCleanup(self.end_server)

    def start_server(self):
        self.server = Server(self.directory, f"vm={self.vm}", options=("--control", self.control))

    def end_server(self):
        self.server.stop()
        self.server.log.close()

    def running(self):
        """The export as a file: a VM that is on."""
        return FuseFile(self.server.uri("vm"), self.directory)

    def exported_tree(self):
        """What the next client of the export sees."""
        copy = self.path("exported.raw")
        run("nbdcopy", self.server.uri("vm"), copy)
        return self.pool.tree_of(copy)

    def start_waiting(self):
        """A rebase that waits for the VM to be off."""
        rebase = subprocess.Popen([harness.MICA, "rebase", self.vm, "--onto", self.pool.v2, "--control", self.control,
                                   "--wait", "60"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(rebase.stdout.close)
        return rebase

    def test_finishes_when_the_vm_goes_off(self):
        with self.running() as disk:
            self.stage("--control", self.control)
            pool.debugfs(disk, *self.changes())
            self.assertIn("is running", self.finish_status(5).stderr)
            self.assertEqual(self.names(), ["vm.mica.staged-1"])  # kept for the next attempt
            rebase = self.start_waiting()
        # A VM that comes back at once gets the old or the new disk, whole.
        self.assertIn("home/later", self.exported_tree())
        output, _ = rebase.communicate()
        self.assertEqual(rebase.returncode, 3, output)
        self.assertIn("still to be done after what was staged", output)
        tree = self.exported_tree()
        self.assertIn("usr/added", tree)
        self.assertIn("home/later", tree)
        self.assertEqual(self.names(), ["vm.mica.before-1", "vm.mica.report.jsonl", "vm.mica.rescue"])
        self.assertEqual(self.snapshots(self.vm + ".before-1"), [])
        with self.running() as disk:
            pool.debugfs(disk, "rm /home/later")
        self.assertNotIn("home/later", self.exported_tree())

    def test_what_does_not_fit_is_done_from_the_start(self):
        def without_its_snapshot():
            mica("ctl", "--control", self.control, "delete-snapshot", "vm", "mica-staged-1")

        def damaged():
            with open(self.vm + ".staged-1", "r+b") as file:
                file.write(b"damage" * 1000)

        def for_another_master():
            v3 = self.path("v3.raw")
            shutil.copy(self.pool.v1, v3)
            pool.debugfs(v3, "rm /etc/file96")
            mica("seal", v3)
            self.stage("--control", self.control, onto=v3, status=0)

        for break_it in (without_its_snapshot, damaged, for_another_master):
            with self.subTest(break_it.__name__):
                with self.running() as disk:
                    self.stage("--control", self.control)
                    break_it()
                    rebase = self.start_waiting()
                    time.sleep(0.3)  # it has begun with what was staged
                    pool.debugfs(disk, *self.changes())
                output, _ = rebase.communicate()
                self.assertEqual(rebase.returncode, 3, output)
                self.assertNotIn("still to be done after what was staged", output)
                tree = self.exported_tree()
                self.assertIn("usr/added", tree)
                self.assertIn("home/later", tree)
                self.assertEqual([name for name in self.names() if "staged" in name or "rebasing" in name], [])
                self.end_server()
                self.restore()
                self.start_server()

    def finish_status(self, status):
        return mica("rebase", self.vm, "--onto", self.pool.v2, "--control", self.control, status=status)

    def test_unstaged_while_it_runs(self):
        with self.running():
            self.stage("--control", self.control)
            self.assertEqual(self.snapshots(self.vm), ["mica-staged-1"])
            mica("rebase", "--unstage", self.vm, "--control", self.control)
            self.assertEqual((self.names(), self.snapshots(self.vm)), ([], []))

    def test_without_the_socket_a_served_vm_is_busy(self):
        self.assertIn("--control", self.stage(status=5).stderr)
        self.assertEqual(self.names(), [])

    def test_a_killed_rebase_gives_the_export_back(self):
        self.stage("--control", self.control)
        for delay in (0, 0.02, 0.05, 0.1, 0.2):
            with self.subTest(delay=delay):
                rebase = self.start_waiting()
                time.sleep(delay)
                rebase.send_signal(signal.SIGKILL)
                rebase.wait()
                self.assertIn("home/mine0/own1", self.exported_tree())
        self.finish_status(3 if not os.path.exists(self.vm + ".before-1") else 2)
        self.assertIn("usr/added", self.exported_tree())

    def test_the_vm_may_come_on_while_it_is_waited_for(self):
        with self.running():
            rebase = self.start_waiting()
            with self.running() as disk:  # a second client
                pool.debugfs(disk, *self.changes())
            self.assertIsNone(rebase.poll())
        output, _ = rebase.communicate()
        self.assertEqual(rebase.returncode, 3, output)
        self.assertIn("home/later", self.exported_tree())

    def test_what_cannot_be_rebased_is_exported_again(self):
        unsealed = self.path("unsealed.raw")
        shutil.copy(self.pool.v1, unsealed)
        mica("rebase", self.vm, "--onto", unsealed, "--control", self.control, status=2)
        self.assertIn("home/mine0/own1", self.exported_tree())


if __name__ == "__main__":
    harness.main()
