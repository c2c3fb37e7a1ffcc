#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`mica fit` over several VMs, and what `mica rebase --verify` says of a rebase later. Damaged file systems fail
their own VM only; MICA_SEED replays them."""

import json
import os
import random
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import harness  # noqa: E402
import pool  # noqa: E402
from harness import Server, mica, run  # noqa: E402

SEED = int(os.environ.get("MICA_SEED", "7"))
DAMAGED = int(os.environ.get("MICA_DAMAGED", "16"))
RULES = """[
  // The owner's own rule.
  {"RuleName": "Home", "Comment": "test", "Severity": "Low", "RulePath": "/home/**", "RuleValue": "added"}
]"""


class Fit(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.pool = pool.Pool(self.directory)

    def vm(self, name):
        return os.path.join(self.pool.vms, name)

    def fit(self, *arguments, status=0):
        lines = mica("fit", "--json", "--onto", self.pool.v2, *arguments, status=status).stdout.splitlines()
        return [json.loads(line) for line in lines]

    def test_ranks_the_worst_first(self):
        library = self.pool.path("text-library")
        with open(library, "w", encoding="ascii") as file:
            file.write("library")
        self.pool.delta("calm.mica", "mkdir /mine")
        self.pool.delta("homely.mica", *self.pool.owner_commands(0, 0))
        self.pool.delta("conflict.mica", *self.pool.owner_commands(1, 2))
        self.pool.delta("module.mica", "mkdir /usr/lib", "mkdir /usr/lib/modules",
                        f"write {library} /usr/lib/modules/x.ko")
        self.pool.delta("setuid.mica", f"write {library} /usr/su", "sif /usr/su mode 0104755")
        before = {name: os.stat(self.vm(name)).st_mtime_ns for name in os.listdir(self.pool.vms)}
        *rows, last = self.fit("-j", "2", self.vm("*.mica"))
        self.assertEqual([os.path.basename(row["vm"]) for row in rows],
                         ["module.mica", "setuid.mica", "conflict.mica", "calm.mica", "homely.mica"])
        self.assertEqual([row["fit"] for row in rows], ["high", "medium", "low", "none", "none"])
        self.assertEqual(rows[0]["rules"][-1]["RuleName"], "Kernel modules")
        self.assertEqual(rows[1]["rules"], [{
            "topic": "rule", "RuleName": "Setuid programs", "Severity": "Medium", "path": "/usr/su",
            "Comment": rows[1]["rules"][0]["Comment"], "value": "mode 4755 of user 0"}])
        self.assertEqual(last["summary"]["levels"], {"high": 1, "medium": 1, "low": 1, "none": 2})
        after = {name: os.stat(self.vm(name)).st_mtime_ns for name in os.listdir(self.pool.vms)}
        self.assertEqual(after, before)  # nothing is written
        self.fit("--fail-on", "high", self.vm("*.mica"), status=4)
        self.fit("--fail-on", "high", self.vm("c*.mica"))
        self.fit("--fail-on", "low", self.vm("conflict.mica"), status=4)
        with open(self.path("rules.json"), "w", encoding="ascii") as file:
            file.write(RULES)
        rows = self.fit("--rules", self.path("rules.json"), self.vm("homely.mica"))
        self.assertEqual(rows[-1]["summary"]["fit"], "low")
        table = mica("fit", "--onto", self.pool.v2, self.vm("*.mica")).stdout
        self.assertIn("Kernel modules", table.splitlines()[2])

    def test_what_no_rule_speaks_of(self):
        text = self.pool.path("text-library")
        with open(text, "w", encoding="ascii") as file:
            file.write("library")
        app = ("mkdir /var", "mkdir /var/lib", "mkdir /var/lib/app", f"write {text} /var/lib/app/data")
        self.pool.delta("one.mica", *app, f"write {text} /home/known", f"write {text} /top")
        self.pool.delta("two.mica", *app, "mkdir /var/lib/app/deep", f"write {text} /var/lib/app/deep/data")
        *rows, last = self.fit("--unclassified", self.vm("*.mica"))
        found = {row["pattern"]: (row["changes"], row["vms"]) for row in rows}
        self.assertEqual(found["/var/lib/app/**"], (4, 2))
        self.assertNotIn("/home/**", found)  # a rule has it
        self.assertIn("/*", found)
        self.assertEqual(last["summary"]["vms"], 2)
        table = mica("fit", "--unclassified", "--onto", self.pool.v2, self.vm("one.mica")).stdout
        self.assertIn("/var/lib/app/**", table)
        self.assertEqual(self.fit(self.vm("one.mica"))[-1]["summary"]["unclassified"], 5)
        # Rules in the administrator's own policy classify it.
        with open(self.path("policy"), "w", encoding="ascii") as file:
            file.write("/** both=ours\n")
        rows = self.fit("--unclassified", "--policy", self.path("policy"), self.vm("*.mica"))
        self.assertEqual(rows[-1]["summary"]["unclassified"], 0)

    def test_damaged_file_systems_fail_alone(self):
        print("seed", SEED)
        generator = random.Random(SEED)
        good = self.pool.delta("good.mica", *self.pool.owner_commands(0, 0))
        self.pool.tree_of(good)
        for number in range(DAMAGED):
            disk = self.pool.copy_of_v1("damaged.raw")
            with open(disk, "r+b") as file:
                for _ in range(generator.choice((1, 20, 400))):
                    offset = generator.randrange(1024, 4 << 20)
                    file.seek(offset)
                    file.write(generator.randbytes(generator.choice((1, 2, 4, 64))))
            mica("convert", "-f", "raw", "-O", "mica", "-b", self.pool.v1, disk, self.vm(f"bad{number}.mica"))
        # Built with a deadline and a bound, so that a loop or a leak is a failure here.
        arguments = ("-j", "2", "--worker-time=60", "--worker-memory=1G")
        result = mica("rebase", *arguments, "--json", "--retries=0", "--job", self.path("job"), "--onto",
                      self.pool.v2, self.vm("*.mica"), status=1)
        self.assertNotIn("signal", result.stdout)
        self.assertNotIn("longer than it may", result.stdout)
        self.assertNotIn("more memory", result.stdout)
        _, rows = pool.report(self.path("job"))
        self.assertEqual(rows["good.mica"]["state"], "switched")
        for name, row in rows.items():
            if row["state"] == "failed":
                self.assertIn(name, row["message"])
            if row["state"] in ("switched", "conflicts"):
                self.check_clean(self.vm(name))

    def check_clean(self, vm):
        raw = self.path("result.raw")
        mica("convert", "-O", "raw", vm, raw)
        run("e2fsck", "-fn", raw)
        os.unlink(raw)


class Lint(harness.TestCase):
    def lint(self, *texts, status, options=()):
        names = []
        for number, text in enumerate(texts):
            names.append(self.path(f"{number}.policy"))
            with open(names[-1], "w", encoding="ascii") as file:
                file.write(text)
        lines = mica("fit", "--lint", "--json", *names, *options, status=status).stdout.splitlines()
        *findings, last = [json.loads(line) for line in lines]
        self.assertEqual(sum(last["summary"].values()), len(findings))
        return [(os.path.basename(f["file"]), f["line"], f["level"], f["kind"]) for f in findings]

    def test_the_worst_finding_is_the_exit_status(self):
        self.assertEqual(self.lint(status=0), [])  # the built-in policy
        self.assertEqual(self.lint("/srv/db/** both=fail\n", status=0), [])
        self.assertEqual(self.lint("/srv/file both=ours\n", status=0),
                         [("0.policy", 1, "notice", "repeats")])
        self.assertEqual(self.lint("# a\n/a both=theirs\n/a* both=ours\n", status=3),
                         [("0.policy", 2, "warning", "shadowed")])
        self.assertEqual(self.lint("/a colour=red\n/b//c both=ours\n", status=1),
                         [("0.policy", 1, "error", "syntax"), ("0.policy", 2, "warning", "no-path")])
        self.assertEqual(self.lint("/a both=theirs\n", "/** both=ours\n", status=0),
                         [("0.policy", 1, "notice", "shadowed")])

    def test_people_get_the_place_and_what_helps(self):
        with open(self.path("site"), "w", encoding="ascii") as file:
            file.write("!/nothing/here\n")
        text = mica("fit", "--lint", self.path("site"), status=3).stdout
        self.assertTrue(text.startswith(self.path("site") + ":1: warning: "), text)
        self.assertIn("come after", text)
        below = self.path("below")
        with open(below, "w", encoding="ascii") as file:
            file.write("/nothing/** one=keep\n")
        mica("fit", "--lint", self.path("site"), "--policy", below)
        mica("fit", "--lint", self.path("missing"), status=1)
        mica("fit", "--lint", "--onto", self.path("site"), status=2)


class Verify(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.pool = pool.Pool(self.directory)
        self.vm = self.pool.delta("vm.mica", *self.pool.owner_commands(0, 2))
        self.report = self.vm + ".report.jsonl"
        mica("rebase", self.vm, "--onto", self.pool.v2, status=3)

    def verify(self, status=0, report=None):
        result = mica("rebase", "--json", "--verify", report or self.report, status=status)
        checks = json.loads(result.stdout)
        self.assertEqual(checks["verified"], status == 0)
        return {check["what"]: check for check in checks["checks"] if not check["as-reported"]}

    def test_report_names_both_masters_and_deltas(self):
        with open(self.report, encoding="utf-8") as file:
            summary = json.loads(file.read().splitlines()[-1])["summary"]
        for image, name in ((self.pool.v1, "base_identity"), (self.pool.v2, "onto_identity")):
            identity = json.loads(mica("info", "--json", image).stdout)["identity"]
            self.assertEqual(summary[name], identity)
        self.assertEqual(summary["kept"], self.vm + ".before-1")
        self.assertGreater(summary["delta_before"]["stored-bytes"], 0)
        self.assertGreater(summary["delta_after"]["shared-bytes"], 0)
        self.assertEqual(sum(summary["conflicts"].values()), 2)

    def test_a_rebase_is_as_reported(self):
        self.assertEqual(self.verify(), {})

    def test_a_vm_that_has_run_differs_in_what_it_changed(self):
        with Server(self.directory, f"x={self.vm}") as server:
            handle = server.connect("x")
            content = bytes(handle.pread(4 << 20, 0))
            at = content.rindex(b"owner 0\n")
            handle.pwrite(b"guest", at)
        different = self.verify(status=3)
        self.assertEqual(len(different), 2)
        self.assertIn("own", str(different["the files of the result, and e2fsck"]["details"]))

    def test_a_forged_report_is_found(self):
        with open(self.report, encoding="utf-8") as file:
            text = file.read()
        forged = self.path("forged.jsonl")
        with open(forged, "w", encoding="utf-8") as file:
            file.write(text.replace('"action":"ours"', '"action":"theirs"', 1))
        self.assertEqual(list(self.verify(status=1, report=forged)), ["what became of each path"])
        with open(self.path("policy"), "w", encoding="ascii") as file:
            file.write("/etc/** both=theirs\n")
        result = mica("rebase", "--verify", self.report, "--policy", self.path("policy"), status=1)
        self.assertIn("differs        the policy", result.stdout)

    def test_without_the_old_delta_it_says_so(self):
        os.unlink(self.vm + ".before-1")
        message = mica("rebase", "--verify", self.report, status=1).stderr
        self.assertIn("before-1", message)
        shutil.copy(self.pool.v1, self.vm + ".before-1")
        mica("rebase", "--verify", self.report, status=1)


if __name__ == "__main__":
    harness.need_programs("mke2fs", "debugfs", "e2fsck")
    harness.main()
