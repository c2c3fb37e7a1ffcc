#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""pairs_test.py DIR [Security|Release|Divergent ...]: rebases of real Debian disks, judged by Debian's own tools.

DIR has the golden disk that pairs_master.py made. Each pair makes a patched master and a VM of it with apt in a
chroot, rebases, and asks e2fsck, dpkg, apt, the linker, the services' programs, and a guest that boots from
the result with the kernel of its own disk.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "support"), os.path.join(HERE, "..", "..", "tools", "quickstart")]
import debian  # noqa: E402
import debian_judges as judges  # noqa: E402
import harness  # noqa: E402
import tree  # noqa: E402
from guest_boot import boot  # noqa: E402
from harness import Server, mica, run  # noqa: E402
from mounts import PARTITION_OFFSET, copy_disk, exported, mounted_volumes  # noqa: E402

CHECK_SCRIPT = """#!/bin/bash
# Each line opens the console anew: the login program hangs up whoever has it open when it starts.
tell() { while IFS= read -r line; do echo "$line" >/dev/ttyS0; done; }
{
  echo "CHECK kernel $(uname -r)"
  echo "CHECK module $(modinfo --field=vermagic virtio_net | cut -d' ' -f1)"
  echo "CHECK systemd $(systemctl --version | head -n 1)"
  for unit in UNITS; do echo "CHECK unit $unit $(systemctl is-active $unit)"; done
  echo "CHECK state $(systemctl is-system-running)"
  echo "CHECK failed $(systemctl --failed --no-legend --plain | cut -d' ' -f1 | xargs)"
  echo "CHECK file $(sha256sum </srv/own/data | cut -d' ' -f1)"
  echo "CHECK audit $(dpkg --audit | wc -l)"
  echo "CHECK end"
} | tell
"""
CHECK_UNIT = """[Unit]
Description=Tell on the console what this machine has
After=multi-user.target

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/own-check

[Install]
WantedBy=multi-user.target
"""


class Side:
    """One disk of a pair as Debian sees it: what is installed, what dpkg says of the files, all paths."""

    def __init__(self, guest):
        self.packages, self.verify = guest.packages(), guest.verify()


class Pair(harness.TestCase):
    units = ()  # services that have to be active in the booted guest
    programs = ()  # commands that have to end with status 0 in the result
    conflicts = ()  # paths that a person has to look at, and no others
    volumes = ((PARTITION_OFFSET, ""),)  # offset and mount point, the root directory first

    def patch(self, guest):
        """What the administrator does with a copy of the golden disk."""
        raise NotImplementedError

    def own(self, guest):
        """What the owner does with a VM of it."""
        raise NotImplementedError

    # --- The story.

    def make_golden(self):
        """The disk that both sides start from."""
        return f"{DIRECTORY}/v1.raw"

    def setUp(self):
        super().setUp()
        # Beside the golden disk: these disks are large, and masters are named from the delta.
        self.directory = os.path.join(DIRECTORY, type(self).__name__.lower())
        shutil.rmtree(self.directory, ignore_errors=True)
        os.makedirs(self.directory)
        self.clock = time.monotonic()
        self.assertTrue(os.path.exists(f"{DIRECTORY}/v1.raw"), "pairs_master.py makes the golden disk")
        self.golden = self.make_golden()

    def forget_disks(self):
        """Of a pair that is good; those of a failed one stay until the next run."""
        for name in os.listdir(self.directory):
            if name.endswith((".raw", ".mica")):
                os.unlink(self.path(name))

    def lap(self, what):
        now = time.monotonic()
        print(f"{type(self).__name__}: {what} ({now - self.clock:.1f} s)", file=sys.stderr, flush=True)
        self.clock = now

    def make_side(self, name, change):
        """A changed copy of the golden disk."""
        disk = self.path(f"{name}.raw")
        copy_disk(self.golden, disk)
        with mounted_volumes(disk, self.volumes, "nobarrier") as root:
            guest = debian.Guest(root, self.path(f"{name}.log"))
            change(guest)
            side = Side(guest)
        side.tree = self.scan(disk)
        self.lap(f"made {name}")
        return side

    def scan(self, disk):
        """All paths; inode numbers are made different on different volumes, because they tell what is moved."""
        with mounted_volumes(disk, self.volumes, "ro") as root:
            entries = tree.scan(root)
        for number, (_, path) in enumerate(self.volumes[1:], 1):
            for name in entries:
                if name.startswith(path + "/"):
                    entries[name] = entries[name]._replace(inode=entries[name].inode + (number << 32))
        return entries

    def own_everything(self, guest):
        """The owner's own work, and what each machine has: an account, data, a service that tells at boot."""
        guest.run("useradd", "--create-home", "--shell", "/bin/bash", "alice")
        guest.write("/srv/own/data", "".join(f"row {number}\n" for number in range(20000)))
        guest.run("chown", "alice:alice", "/srv/own/data")
        guest.write("/usr/local/sbin/own-check", CHECK_SCRIPT.replace("UNITS", " ".join(self.units)), 0o755)
        guest.write("/etc/systemd/system/own-check.service", CHECK_UNIT)
        guest.run("systemctl", "enable", "own-check.service")
        self.own(guest)

    def test_pair(self):
        with mounted_volumes(self.golden, self.volumes, "ro") as root:
            self.base = debian.Guest(root, self.path("base.log")).packages()
        self.theirs = self.make_side("v2", self.patch)
        self.ours = self.make_side("ours", self.own_everything)
        changed = [{name for name in {**self.base, **side.packages} if self.base.get(name) != side.packages.get(name)}
                   for side in (self.theirs, self.ours)]
        self.lap(f"packages changed by the patch {len(changed[0])}, by the VM {len(changed[1])}, "
                 f"by both {len(changed[0] & changed[1])}")
        mica("seal", self.path("v2.raw"))
        mica("convert", "-f", "raw", "-O", "mica", "-b", self.golden, self.path("ours.raw"),
             self.path("vm.mica"))
        os.unlink(self.path("ours.raw"))
        self.lap("sealed and converted")
        self.rebase()
        self.judge_disk()
        self.judge_root(set().union(*changed))
        self.judge_boot()
        self.forget_disks()

    def rebase(self):
        result = subprocess.run([harness.MICA, "rebase", self.path("vm.mica"), "--onto", self.path("v2.raw"),
                                 "--report", self.path("report.jsonl")], capture_output=True, text=True, check=False)
        self.assertIn(result.returncode, (0, 3), result.stdout + result.stderr)
        with open(self.path("report.jsonl"), encoding="utf-8") as file:
            self.report = [json.loads(line) for line in file]
        self.summary = self.report[-1]["summary"]
        self.records = tree.reported_paths(self.path("report.jsonl"))
        self.assertEqual(sorted(record["path"] for record in self.report
                                if record.get("severity") in ("warn", "error", "block")), sorted(self.conflicts))
        self.lap(f"rebased: {self.summary['counts']}; " + ", ".join(
            value for name, value in self.summary.items() if name.startswith("partition_")))

    # --- The judges.

    def judge_disk(self):
        """e2fsck, and every path of the four trees."""
        with exported(self.path("vm.mica"), self.directory) as disk:
            for offset, _ in self.volumes:
                run("e2fsck", "-fn", f"{disk}?offset={offset}")
            result = self.scan(disk)
        base = tree.load(f"{DIRECTORY}/v1.tree") if len(self.volumes) == 1 else self.scan(self.golden)
        problems, counts = judges.nothing_lost((base, self.ours.tree, self.theirs.tree, result),
                                               self.path("report.jsonl"))
        self.assertEqual(problems, [])
        self.lap(f"e2fsck clean; {counts}")

    def judge_root(self, changed):
        """In a copy: programs that are tried write files."""
        mica("convert", "-O", "raw", self.path("vm.mica"), self.path("result.raw"))
        with mounted_volumes(self.path("result.raw"), self.volumes, "nobarrier") as root:
            guest = debian.Guest(root, self.path("result.log"))
            self.judge_packages(guest, changed)
            for command in self.programs:
                guest.run("sh", "-c", command)
            guest.run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", "own-check.service",
                      "multi-user.target")
            self.judge_more(guest)
        os.unlink(self.path("result.raw"))
        self.lap(f"{len(self.programs)} programs run")

    def judge_packages(self, guest, changed):
        packages = guest.packages()
        self.assertEqual(judges.packages_lost(self.base, self.ours.packages, self.theirs.packages, packages), [])
        self.assertEqual(guest.run("dpkg", "--audit").stdout, "")
        guest.run("apt-get", "-q", "check")
        verify = guest.verify()
        strange = judges.unexplained_files(verify, (self.ours.verify, self.theirs.verify), self.records)
        self.assertEqual(strange, {})
        self.assertEqual(judges.double_accounts(guest), [])
        programs = judges.programs_of(guest, changed & set(packages))
        self.assertEqual(judges.unlinked_programs(guest, programs), [])
        self.lap(f"{len(packages)} packages, audit silent, {len(verify)} files differ from their packages, "
                 f"{len(programs)} programs find their libraries")

    def judge_more(self, guest):
        """What only this pair has."""

    def newest_kernel(self):
        kernels = [name.removeprefix("linux-image-") for name in self.theirs.packages
                   if re.match(r"linux-image-\d", name)]
        return max(kernels, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])

    def judge_boot(self):
        release = self.newest_kernel()
        files = []
        for name in ("vmlinuz", "initrd.img"):
            files.append(self.path(name))
            with open(files[-1], "wb") as file:
                subprocess.run([harness.MICA, "cat", f"{self.path('vm.mica')}:1", f"/boot/{name}-{release}"],
                               stdout=file, check=True)
        digest = run("sha256sum", input="".join(f"row {number}\n" for number in range(20000))).stdout.split()[0]
        with Server(self.directory, f"boot={self.path('vm.mica')}") as server:
            text = boot(server.uri("boot"), *files, "root=/dev/vda1 rw")
        self.assertIn("CHECK end", text, text[-4000:])
        self.assertIn("login:", text, text[-4000:])
        facts = dict(re.findall(r"CHECK (\w+(?: \w+(?=\S*\.service))?) (.*)", text))
        units = dict(re.findall(r"CHECK unit (\S+) (\S+)", text))
        self.assertEqual(facts["kernel"], release)
        self.assertEqual(facts["module"], release)
        self.assertEqual(facts["file"], digest)
        self.assertEqual(facts["audit"], "0")
        self.assertEqual(units, dict.fromkeys(self.units, "active"), text)
        mica("check", self.path("vm.mica"))
        self.lap(f"booted Linux {release}, {facts['systemd']}, {facts['state']}, failed: {facts['failed'] or 'none'}")


class Security(Pair):
    """A patch of the release's security archive; the owner had fetched a part of it already."""

    units = ("ssh", "nginx", "rsyslog", "dbus", "memcached")
    programs = ("mkdir -p /run/sshd && sshd -t", "nginx -t", "rsyslogd -N1", "memcached --version",
                "python3 -c 'import ssl, sqlite3, hashlib'", "perl -MPOSIX -MSocket -e 1", "curl --version",
                "openssl version", "visudo -c", "tmux -V")

    def patch(self, guest):
        guest.use_archives(*debian.archives())
        guest.upgrade()
        guest.edit("/etc/login.defs", r"^PASS_MAX_DAYS.*", "PASS_MAX_DAYS 365")
        guest.write("/etc/sudoers.d/site", "%adm ALL=(ALL) ALL\n", 0o440)

    def own(self, guest):
        guest.install("memcached", "tmux", "vim-tiny")
        guest.use_archives(*debian.archives())
        guest.install("nginx-light", "openssl")
        guest.edit("/etc/ssh/sshd_config", r"^#PermitRootLogin.*", "PermitRootLogin no")
        guest.edit("/etc/nginx/sites-available/default", r"server_name _;", "server_name own.example;")
        guest.edit("/etc/login.defs", r"^UMASK.*", "UMASK 027")
        guest.write("/var/www/html/index.html", "<h1>own</h1>\n")

    def judge_more(self, guest):
        self.assertIn("PASS_MAX_DAYS 365", guest.read("/etc/login.defs"))
        self.assertIn("UMASK 027", guest.read("/etc/login.defs"))


class Release(Pair):
    """The next release, with another kernel, libc and systemd, under what an owner installed on the old one."""

    units = ("ssh", "nginx", "rsyslog", "dbus", "memcached", "cron")
    programs = ("mkdir -p /run/sshd && sshd -t", "nginx -t", "rsyslogd -N1", "memcached --version",
                "python3 -c 'import ssl, sqlite3, hashlib'", "perl -MPOSIX -MSocket -e 1", "curl --version",
                "openssl version", "visudo -c", "nano --version", "systemctl --version", "bc --version")
    conflicts = ("/etc/apt/sources.list",)

    def patch(self, guest):
        guest.use_archives(*debian.next_release())
        guest.upgrade()

    def own(self, guest):
        guest.install("memcached", "nano", "bc")
        guest.use_archives(*debian.archives())
        guest.install("libssl3", "openssl", "libexpat1")
        guest.edit("/etc/ssh/sshd_config", r"^#PermitRootLogin.*", "PermitRootLogin no")
        guest.edit("/etc/nginx/sites-available/default", r"server_name _;", "server_name own.example;")
        guest.write("/etc/cron.d/own", "5 4 * * * alice /usr/bin/true\n")
        guest.write("/etc/sysctl.d/own.conf", "vm.swappiness=10\n")


class Divergent(Pair):
    """Both sides install packages: some of both in other versions, accounts with the same numbers, alternatives.
    /var is a volume of its own, so packages have their records on another one than their files."""

    volumes = ((PARTITION_OFFSET, ""), (1400 << 20, "var"))
    units = ("ssh", "nginx", "memcached", "redis-server", "chrony", "mosquitto")
    programs = ("mkdir -p /run/sshd && sshd -t", "nginx -t", "memcached --version", "redis-server --version",
                "chronyd --version", "jq --version", "host -V", "awk 'BEGIN { exit 0 }'", "nano --version",
                "ed --version", "editor --version", "gawk --version", "original-awk --version")

    def make_golden(self):
        disk = harness.make_raw(self.path("v1.raw"), 2 << 30)
        starts = [offset // 512 for offset, _ in self.volumes]
        run("sfdisk", "--quiet", disk, input=f"label: gpt\nstart={starts[0]}, size={starts[1] - starts[0]}, type=linux\n"
                                             f"start={starts[1]}, type=linux\n")
        sizes = [starts[1] - starts[0], (2 << 30) // 512 - starts[1] - 2048]
        for (offset, _), sectors in zip(self.volumes, sizes):
            run("mkfs.ext4", "-q", "-F", "-E", f"offset={offset},lazy_itable_init=0,lazy_journal_init=0", disk,
                f"{sectors // 2}k")
        with mounted_volumes(disk, self.volumes[:1], "nobarrier") as root:
            os.mkdir(f"{root}/var")
        with mounted_volumes(f"{DIRECTORY}/v1.raw", ((PARTITION_OFFSET, ""),), "ro") as old:
            with mounted_volumes(disk, self.volumes, "nobarrier") as root:
                run("cp", "-a", f"{old}/.", root)
                with open(f"{root}/etc/fstab", "w", encoding="ascii") as file:
                    file.write("/dev/vda1 / ext4 defaults 0 1\n/dev/vda2 /var ext4 defaults 0 2\n")
        mica("seal", disk)
        self.lap("made a golden disk with /var of its own")
        return disk

    def patch(self, guest):
        guest.use_archives(*debian.archives())
        guest.install("chrony", "mosquitto", "tcpdump", "original-awk", "ed", "jq", "bind9-host", "vim-tiny")
        guest.run("adduser", "--system", "--group", "patchd")
        guest.edit("/etc/login.defs", r"^PASS_MAX_DAYS.*", "PASS_MAX_DAYS 365")
        guest.edit("/etc/ssh/sshd_config", r"^#MaxAuthTries.*", "MaxAuthTries 3")

    def own(self, guest):
        guest.install("memcached", "redis-server", "gawk", "nano", "jq", "bind9-host", "vim-tiny")
        guest.run("adduser", "--system", "--group", "ownd")
        guest.write("/var/lib/ownd/state", "own\n")
        guest.run("chown", "-R", "ownd:ownd", "/var/lib/ownd")
        guest.edit("/etc/login.defs", r"^UMASK.*", "UMASK 027")
        guest.edit("/etc/ssh/sshd_config", r"^#?X11Forwarding.*", "X11Forwarding no")
        guest.edit("/etc/memcached.conf", r"^-m 64", "-m 48")

    def judge_more(self, guest):
        for line in ("PASS_MAX_DAYS 365", "UMASK 027"):
            self.assertIn(line, guest.read("/etc/login.defs"))
        for line in ("MaxAuthTries 3", "X11Forwarding no"):
            self.assertIn(line, guest.read("/etc/ssh/sshd_config"))
        for name in ("ownd", "patchd", "redis", "memcache", "mosquitto", "_chrony", "tcpdump"):
            guest.run("id", name)
        owner = guest.run("stat", "-c", "%U:%G", "/var/lib/ownd/state").stdout.strip()
        self.assertEqual(owner, "ownd:ownd")


if __name__ == "__main__":
    harness.need_root("loop devices and mounts")
    harness.need_programs("qemu-system-x86_64", "nbdfuse", "e2fsck", "unshare", "apt-get")
    DIRECTORY = os.path.abspath(sys.argv.pop(1))
    harness.main()
