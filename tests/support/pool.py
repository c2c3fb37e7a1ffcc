# SPDX-License-Identifier: Apache-2.0
"""A pool of small VMs over one master, made without mounts or root: trees through mke2fs and debugfs."""

import hashlib
import json
import os
import shutil

import harness
from harness import Server, mica, run

DISK_BYTES = 24 << 20
FILES = 120


def debugfs(disk, *commands):
    """Runs debugfs commands on a disk; a command that says anything has failed."""
    result = run("debugfs", "-w", "-f", "/dev/stdin", disk, input="\n".join(commands) + "\n")
    complaints = [line for line in (result.stdout + result.stderr).splitlines()
                  if line and not line.startswith(("debugfs", "Allocated inode"))]
    if complaints:
        raise AssertionError(f"debugfs on {disk}: {complaints}")


class Pool:
    """`directory` gets v1.raw and v2.raw, sealed, and deltas of VMs in vms/."""

    def __init__(self, directory):
        self.directory = directory
        self.vms = os.path.join(directory, "vms")
        os.mkdir(self.vms)
        self.v1, self.v2 = self.path("v1.raw"), self.path("v2.raw")
        self._make_v1()
        self._make_v2()

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def text(self, content):
        """A file on the host with that content, for debugfs to write from."""
        path = self.path("text-" + hashlib.sha256(content.encode()).hexdigest()[:12])
        with open(path, "w", encoding="ascii") as file:
            file.write(content)
        return path

    def _make_v1(self):
        tree = self.path("tree")
        for folder in ("etc", "usr", "home"):
            os.makedirs(os.path.join(tree, folder))
        for number in range(FILES):
            folder = ("etc", "usr", "home")[number % 3]
            with open(os.path.join(tree, folder, f"file{number}"), "w", encoding="ascii") as file:
                file.write("".join(f"{number} line {line}\n" for line in range(40)))
        harness.make_raw(self.v1, DISK_BYTES)
        run("mke2fs", "-q", "-t", "ext4", "-E", "root_owner=0:0,lazy_itable_init=0", "-d", tree, self.v1)
        shutil.rmtree(tree)
        mica("seal", self.v1)

    def copy_of_v1(self, name):
        disk = self.path(name)
        run("cp", "--sparse=always", self.v1, disk)
        return disk

    @staticmethod
    def replace(path, source):
        return (f"rm {path}", f"write {source} {path}")

    def _make_v2(self):
        disk = self.copy_of_v1("v2.raw")
        patched = self.text("patched\n" * 60)
        commands = [f"write {patched} /usr/added", "rm /etc/file99"]
        for number in range(0, 30, 3):
            commands += self.replace(f"/etc/file{number}", patched)
        debugfs(disk, *commands)
        mica("seal", disk)

    def delta(self, name, *commands):
        """A VM on v1 whose owner did that."""
        disk = self.copy_of_v1("making.raw")
        debugfs(disk, *commands)
        path = os.path.join(self.vms, name)
        mica("convert", "-f", "raw", "-O", "mica", "-b", self.v1, disk, path)
        os.unlink(disk)
        return path

    def change(self, vm, *commands):
        """What the owner of a VM does, when nobody has its image: writes the blocks in which its disk differs then."""
        disk, before = self.path("disk.raw"), self.path("before.raw")
        mica("convert", "-O", "raw", vm, disk)
        shutil.copy(disk, before)
        debugfs(disk, *commands)
        with Server(self.directory, f"vm={vm}") as server, open(before, "rb") as old, open(disk, "rb") as new:
            handle = server.connect("vm")
            offset = 0
            while block := new.read(4096):
                if block != old.read(4096):
                    handle.pwrite(block, offset)
                offset += 4096
            handle.flush()
            handle.shutdown()
        os.unlink(disk)
        os.unlink(before)

    def owner_commands(self, variant, conflicts):
        """What the owner of a VM did: files of its own, and `conflicts` of those that the patch changes."""
        own = self.text(f"owner {variant}\n" * 50)
        commands = [f"mkdir /home/mine{variant}"]
        commands += [f"write {own} /home/mine{variant}/own{number}" for number in range(5)]
        commands += [f"rm /home/file{2 + 3 * variant}"]
        for number in range(conflicts):
            commands += self.replace(f"/etc/file{3 * number}", own)
        return commands

    def tree_of(self, image):
        """path -> what a user sees of it; without the times of directories, which say when it was made."""
        target = self.path("extracted")
        mica("extract", image, "/", target)
        seen = {}
        for folder, folders, files in os.walk(target):
            for name in folders + files:
                path = os.path.join(folder, name)
                stat = os.lstat(path)
                entry = [stat.st_mode, stat.st_uid, stat.st_gid]
                if not os.path.isdir(path):
                    with open(path, "rb") as file:
                        entry += [int(stat.st_mtime), hashlib.sha256(file.read()).hexdigest()]
                seen[os.path.relpath(path, target)] = entry
        shutil.rmtree(target)
        return seen


def journal_states(job):
    """VM name -> the states its row went through."""
    states = {}
    with open(os.path.join(job, "journal.jsonl"), encoding="utf-8") as file:
        for line in file.read().splitlines()[1:]:
            row = json.loads(line)
            states.setdefault(os.path.basename(row["vm"]), []).append(row["state"])
    return states


def report(job):
    with open(os.path.join(job, "report.json"), encoding="utf-8") as file:
        content = json.load(file)
    return content, {os.path.basename(row["vm"]): row for row in content["vms"]}
