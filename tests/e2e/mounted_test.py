#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""XFS and btrfs volumes, merged file by file through the host's kernel (--mount-volumes).

The oracle is the kernel: what the VM and the patch did, done one after the other to a copy of the old master, is what a
rebase without conflicts has to give.
"""

import collections
import contextlib
import fcntl
import hashlib
import json
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import disk as disks  # noqa: E402
import harness  # noqa: E402
from disk import MIB  # noqa: E402
from harness import mica, run  # noqa: E402

DISK_BYTES = 320 * MIB  # mkfs.xfs makes nothing below 300 MiB
TIME = 1_600_000_000
SAME_TIMES = {"var/tiny": 100, "var/block": 4096, "var/blocks": 300000}  # change without a change of size or time
ACL = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in (
    (1, 6, 0xffffffff), (2, 4, 1234), (4, 4, 0xffffffff), (16, 4, 0xffffffff), (32, 0, 0xffffffff)))
FS_IOC_GETFLAGS = 0x80086601
# Encrypted, indexed, extents, verity, inline, of a project, not compressed.
HOW_IT_IS_STORED = 0x800 | 0x1000 | 0x80000 | 0x100000 | 0x10000000 | 0x20000000 | 0x400
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)  # cap_net_bind_service+ep

Entry = collections.namedtuple("Entry", "kind mode uid gid size content mtime links device xattrs flags holes")


class Mounted:
    """A file system in a file, mounted by the kernel; the context is its root directory."""

    def __init__(self, image, directory, options="", offset=0, size=0):
        self.image, self.options, self.offset, self.size = image, options, offset, size
        self.root = os.path.join(directory, "mnt")

    def __enter__(self):
        os.makedirs(self.root, exist_ok=True)
        where = f"loop,offset={self.offset}" + (f",sizelimit={self.size}" if self.size else "")
        run("mount", "-o", ",".join(word for word in (where, "noatime", self.options) if word), self.image, self.root)
        return self.root

    def __exit__(self, *_):
        run("umount", self.root)
        for _ in range(3000):  # another mount namespace can hold it a little longer
            if not run("losetup", "--associated", self.image).stdout:
                return
            time.sleep(0.01)
        raise AssertionError(f"{self.image} stays attached")


def put(root, name, content, mtime=TIME):
    path = os.path.join(root, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())
    os.utime(path, (mtime, mtime))
    return path


def flags_of(path):
    """What chattr can set; the others say how the file system stores it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        flags, = struct.unpack("ixxxx", fcntl.ioctl(descriptor, FS_IOC_GETFLAGS, bytes(8)))
    finally:
        os.close(descriptor)
    return flags & ~HOW_IT_IS_STORED


def entry_of(path, inodes):
    facts = os.lstat(path)
    kind = stat.S_IFMT(facts.st_mode)
    content, flags, holes = None, 0, None
    if kind == stat.S_IFREG:
        with open(path, "rb") as file:
            content = hashlib.sha256(file.read()).hexdigest()
            holes = facts.st_size > MIB and os.lseek(file.fileno(), 0, os.SEEK_HOLE) < facts.st_size
    elif kind == stat.S_IFLNK:
        content = os.readlink(path)
    if kind in (stat.S_IFREG, stat.S_IFDIR):
        flags = flags_of(path)
    xattrs = {name: os.getxattr(path, name, follow_symlinks=False)
              for name in os.listxattr(path, follow_symlinks=False) if not name.startswith("trusted.SGI_ACL_")}
    is_directory = kind == stat.S_IFDIR
    return Entry(kind, stat.S_IMODE(facts.st_mode), facts.st_uid, facts.st_gid, 0 if is_directory else facts.st_size,
                 content, 0 if is_directory else facts.st_mtime_ns, tuple(sorted(inodes[facts.st_ino])), facts.st_rdev,
                 tuple(sorted(xattrs.items())), flags, holes)


def snapshot(root):
    """Path -> everything that is worth carrying; hard links by the paths that share an inode."""
    inodes = collections.defaultdict(list)
    paths = ["."]
    for folder, directories, files in os.walk(root):
        for name in directories + files:
            path = os.path.relpath(os.path.join(folder, name), root)
            paths.append(path)
            if not os.path.isdir(os.path.join(root, path)) or os.path.islink(os.path.join(root, path)):
                inodes[os.lstat(os.path.join(root, path)).st_ino].append(path)
    return {path: entry_of(os.path.join(root, path), inodes) for path in paths}


def furnish(root):
    put(root, "etc/hosts", "127.0.0.1 localhost\n")
    put(root, "etc/conf", "".join(f"line {number}\n" for number in range(1000)))
    put(root, "etc/locked", "immutable\n")
    put(root, "etc/motd", "welcome\n")
    put(root, "var/data/big", bytes(range(256)) * 32768)
    put(root, "var/data/same", "nobody changes this\n" * 5000)
    for name, size in SAME_TIMES.items():
        put(root, name, b"a" * size)
    put(root, "old/one", "1\n")
    put(root, "old/deep/two", "2\n")
    put(root, "gone/file", "the VM deletes it\n")
    put(root, "retired", "the patch deletes it\n")
    put(root, "linked", "a file with two names\n")
    os.link(os.path.join(root, "linked"), os.path.join(root, "also-linked"))
    os.symlink("/etc/passwd", os.path.join(root, "absolute"))
    os.setxattr(put(root, "marked", "x"), "user.old", b"1")
    os.chmod(put(root, "tool", "#!/bin/sh\n"), 0o755)


def change_ours(root):
    def at(name):
        return os.path.join(root, name)

    put(root, "etc/own.conf", "of the owner\n", TIME + 1)
    put(root, "var/www/deep/down/page", "hello\n", TIME + 2)
    with open(at("var/data/big"), "r+b") as file:  # in place
        file.seek(3 << 20)
        file.write(b"changed by the owner")
    os.utime(at("var/data/big"), (TIME + 3, TIME + 3))
    for name, size in SAME_TIMES.items():
        with open(at(name), "r+b") as file:
            file.seek(size - 50)
            file.write(b"b")
        os.utime(at(name), (TIME, TIME))
    os.unlink(at("gone/file"))
    os.rmdir(at("gone"))
    os.rename(at("old"), at("moved"))
    os.link(at("marked"), at("moved/marked-too"))
    os.unlink(at("also-linked"))
    os.link(at("linked"), at("var/third-name"))
    os.symlink("../nowhere", at("dangling"))
    os.utime(at("dangling"), (TIME, TIME), follow_symlinks=False)
    os.unlink(at("absolute"))
    os.symlink("/etc/shadow", at("absolute"))
    os.utime(at("absolute"), (TIME, TIME), follow_symlinks=False)
    os.setxattr(at("marked"), "user.new", b"\0binary")
    os.removexattr(at("marked"), "user.old")
    os.setxattr(at("etc/motd"), "trusted.overlay.x", b"y")
    os.setxattr(at("moved/one"), "system.posix_acl_access", ACL)
    with open(put(root, "sparse", b""), "r+b") as file:
        file.truncate(64 * MIB)
        file.seek(40 * MIB)
        file.write(b"island")
    os.utime(at("sparse"), (TIME, TIME))
    os.mknod(at("null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(at("disk"), stat.S_IFBLK | 0o600, os.makedev(259, 70000))
    os.mkfifo(at("pipe"), 0o640)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(at("socket"))
    for name in ("null", "disk", "pipe", "socket"):
        os.utime(at(name), (TIME, TIME))
    os.chown(put(root, "setuid", "x"), 1000, 1001)
    os.chmod(at("setuid"), 0o6755)
    os.chown(at("tool"), 5, 6)
    os.setxattr(put(root, "capable", "y"), "security.capability", CAPABILITY)
    put(root, "name with \u00e4 and\nnewline", "z")
    for number in range(300):
        put(root, f"many/{number:04}", f"{number}\n")
    os.mkdir(at("sticky"))
    os.chmod(at("sticky"), 0o1777)
    put(root, "etc/locked", "changed, then locked\n", TIME + 5)
    run("chattr", "+i", at("etc/locked"))
    run("chattr", "+a", put(root, "log", "only longer\n"))
    run("chattr", "+d", at("var/data/same"))


def change_theirs(root):
    def at(name):
        return os.path.join(root, name)

    put(root, "usr/lib/new.so", b"\x7fELF" * 5000, TIME + 10)
    folder = "moved" if os.path.isdir(at("moved")) else "old"  # the oracle has the VM's changes already
    put(root, f"{folder}/deep/two", "2, patched\n", TIME + 11)
    put(root, f"{folder}/deep/three", "3\n", TIME + 11)
    os.unlink(at("retired"))
    os.chmod(at("etc/motd"), 0o600)
    put(root, "etc/hosts", "127.0.0.1 localhost\n::1 localhost\n", TIME + 12)
    os.makedirs(at("opt/a/b"))
    os.symlink("b", at("opt/a/c"))
    os.utime(at("opt/a/c"), (TIME, TIME), follow_symlinks=False)


def ours_in_use():
    """Loop devices whose file is the root of a mount without a name; nobody but a mounter has such."""
    found = []
    for name in os.listdir("/sys/block"):
        with contextlib.suppress(OSError), open(f"/sys/block/{name}/loop/backing_file", encoding="utf-8") as file:
            if file.read().strip() == "/":
                found.append(name)
    return found


def processes(verb):
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/cmdline", "rb") as file:
            if file.read().startswith(b"mica\0" + verb.encode() + b"\0"):
                found.append(int(name))
    return found


def children(process, verb):
    """Processes of that verb below another one."""
    below = {process}
    for number in sorted(processes("worker")) + sorted(processes("mounter")):
        with contextlib.suppress(OSError), open(f"/proc/{number}/stat", encoding="ascii") as file:
            if int(file.read().rsplit(")", 1)[1].split()[1]) in below:
                below.add(number)
    return [number for number in processes(verb) if number in below]


class Volumes:
    """The cases; MKFS makes the file system KIND."""

    KIND = MKFS = CHECK = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = tempfile.TemporaryDirectory(prefix="mica-masters-")
        cls.addClassCleanup(folder.cleanup)
        cls.masters = folder.name
        cls.v1 = os.path.join(cls.masters, "v1.raw")
        harness.make_raw(cls.v1, DISK_BYTES)
        run(*cls.MKFS, cls.v1)
        with Mounted(cls.v1, cls.masters) as root:
            furnish(root)
        mica("seal", cls.v1)
        cls.sides = {}  # by the change: disks that several tests use

    def setUp(self):
        super().setUp()
        self.vm = self.path("vm.mica")

    def mount(self, image, options=""):
        words = [options, "nouuid" if self.KIND == "xfs" else ""]
        return Mounted(image, self.directory, ",".join(word for word in words if word))

    def copy(self, name, *changes):
        """A copy of the old master with changes."""
        path = self.path(name + ".raw")
        run("cp", "--sparse=always", self.v1, path)
        with self.mount(path) as root:
            for change in changes:
                change(root)
        return path

    def side(self, name, change, *verbs):
        """The same, made once for all tests when it is one of the two large changes; nobody writes to it."""
        if change not in (change_ours, change_theirs):
            path = self.copy(name, change)
        elif change in self.sides:
            return self.sides[change]
        else:
            path = self.sides[change] = os.path.join(self.masters, name + ".raw")
            os.rename(self.copy(name, change), path)
        for verb in verbs:
            mica(verb, path)
        return path

    def make_vm(self, ours):
        mica("convert", "-f", "raw", "-O", "mica", "-b", self.v1, ours, self.vm)

    def prepare(self, ours, theirs):
        self.v2 = self.side("v2", theirs, "seal")
        self.make_vm(self.side("ours", ours))

    def rebase(self, status=0, options=None):
        options = ["--mount-volumes", self.KIND] if options is None else options
        return mica("rebase", self.vm, "--onto", self.v2, *options, status=status)

    def tree(self, image):
        raw = self.path("result.raw")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(raw)
        mica("convert", "-O", "raw", image, raw)
        run(*self.CHECK, raw)
        with self.mount(raw, "ro") as root:
            return snapshot(root)

    def digest(self, path):
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()

    def check_equal(self, found, expected):
        for path in sorted(set(found) | set(expected)):
            self.assertEqual(found.get(path), expected.get(path), path)

    def check_nothing_is_left(self):
        for _ in range(200):
            if not ours_in_use() and not processes("mounter"):
                return
            time.sleep(0.05)
        self.fail(f"left: loop devices {ours_in_use()}, mounters {processes('mounter')}")

    def test_both_sides_are_merged(self):
        self.prepare(change_ours, change_theirs)
        before = self.tree(self.vm)
        self.rebase()
        expected = self.copy("expected", change_ours, change_theirs)
        with self.mount(expected, "ro") as root:
            expected = snapshot(root)
        self.check_equal(self.tree(self.vm), expected)
        mica("rebase", "--verify", self.vm + ".report.jsonl", "--mount-volumes", self.KIND)
        mica("rollback", self.vm)
        self.check_equal(self.tree(self.vm), before)
        self.check_nothing_is_left()

    def test_without_the_option_the_block_rule_decides(self):
        self.prepare(lambda root: put(root, "a", "a"), lambda root: put(root, "b", "b"))
        message = self.rebase(status=1, options=[]).stderr
        for words in ("the disk", f"--mount-volumes {self.KIND}", "stays on its master"):
            self.assertIn(words, message)
        other = "btrfs" if self.KIND == "xfs" else "xfs"
        self.rebase(status=1, options=["--mount-volumes", other])

    def test_a_log_that_was_not_replayed(self):
        """The VM's disk is copied while it is mounted; the kernel's own replay is what has to be there."""
        self.v2 = self.copy("v2", lambda root: put(root, "theirs", "t"))
        mica("seal", self.v2)
        work, ours, replayed = self.copy("work"), self.path("ours.raw"), self.path("replayed.raw")
        with self.mount(work) as root:
            os.unlink(os.path.join(root, "gone/file"))
            for name in ("var/data/same", "synced"):
                with open(put(root, name, "in the log\n"), "rb") as file:
                    os.fsync(file.fileno())
            run("cp", "--sparse=always", work, ours)
        run("cp", "--sparse=always", ours, replayed)
        with self.mount(replayed) as root:
            self.assertTrue(os.path.exists(os.path.join(root, "synced")))
            put(root, "theirs", "t")
            expected = snapshot(root)
        self.make_vm(ours)
        before = self.digest(self.vm)
        mica("fit", self.vm, "--onto", self.v2, "--mount-volumes", self.KIND)
        self.assertEqual(self.digest(self.vm), before)
        self.rebase()
        self.check_equal(self.tree(self.vm), expected)
        self.assertEqual(self.digest(self.vm + ".before-1"), before)

    def test_a_conflict_keeps_the_loser(self):
        def rewrite(words):
            return lambda root: put(root, "marked", words)
        self.prepare(rewrite("mine\n"), rewrite("theirs\n"))
        self.rebase(status=3)
        report = self.vm + ".report.jsonl"
        self.assertEqual(mica("rebase", "--show-conflict", report, "/marked").stdout, "theirs\n")
        shown = mica("rebase", "--show-conflict", report, "/marked", "--to", self.path("versions"))
        self.assertIn("file system", shown.stdout + shown.stderr)
        with open(os.path.join(self.path("versions"), "theirs"), encoding="ascii") as file:
            self.assertEqual(file.read(), "theirs\n")
        raw = self.path("conflict.raw")
        mica("convert", "-O", "raw", self.vm, raw)
        with self.mount(raw, "ro") as root, open(os.path.join(root, "marked"), encoding="ascii") as file:
            self.assertEqual(file.read(), "mine\n")

    def test_symlinks_lead_nowhere(self):
        """The VM puts links to a folder of the host where the patch changes files."""
        outside = self.path("outside")
        os.mkdir(outside)
        put(outside, "two", "of the host\n")
        host = snapshot(outside)

        def trap(root):
            for folder in ("old/deep", "gone"):
                run("rm", "-r", os.path.join(root, folder))
                os.symlink(outside, os.path.join(root, folder))

        def patch(root):
            put(root, "old/deep/two", "patched\n")
            put(root, "old/deep/new", "new\n")
            put(root, "gone/file", "patched\n")
            os.chmod(os.path.join(root, "old/deep"), 0o700)

        self.prepare(trap, patch)
        before = mica("info", "--json", self.vm).stdout
        self.rebase(status=3)
        self.assertEqual(snapshot(outside), host)
        self.assertEqual(mica("info", "--json", self.vm).stdout != "", before != "")
        self.check_nothing_is_left()

    def test_whoever_is_killed_nothing_is_left(self):
        self.prepare(change_ours, change_theirs)
        before = self.digest(self.vm)
        for victim in ("front", "worker", "mounter"):
            for devices in (1, 2, 3, 4):  # the last one is the result's
                with self.subTest(victim=victim, devices=devices):
                    self.kill(victim, devices)
                    self.check_nothing_is_left()
                    self.assertEqual(self.digest(self.vm), before)
        self.rebase()

    def kill(self, victim, devices):
        command = [harness.MICA, "rebase", self.vm, "--onto", self.v2, "--mount-volumes", self.KIND,
                   "--worker-time", "60", "-o", self.path("out.mica")]
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path("out.mica"))
        front = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while front.poll() is None and len(ours_in_use()) < devices:
            pass
        found = [front.pid] if victim == "front" else children(front.pid, victim)
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        message = front.communicate()[1].decode()
        if victim == "mounter" and front.returncode != 0:
            self.assertRegex(message, "mounter process|I/O|Input/output")

    def test_fit_predicts_and_writes_nothing(self):
        self.prepare(change_ours, change_theirs)
        said = mica("fit", self.vm, "--onto", self.v2, "--mount-volumes", "xfs,btrfs", "--json").stdout
        paths = {json.loads(line).get("path") for line in said.splitlines()}
        self.assertIn("/etc/own.conf", paths)
        self.check_nothing_is_left()

    def test_several_vms_at_a_time(self):
        """Their volumes have one UUID, and are mounted beside each other, for writing too."""
        self.prepare(change_ours, change_theirs)
        vms = [self.path(f"vm{number}.mica") for number in range(3)]
        for vm in vms:
            run("cp", self.vm, vm)
        mica("rebase", "-j", "3", "--onto", self.v2, "--mount-volumes", self.KIND, *vms)
        expected = self.copy("expected", change_ours, change_theirs)
        with self.mount(expected, "ro") as root:
            expected = snapshot(root)
        for vm in vms:
            self.check_equal(self.tree(vm), expected)
        self.check_nothing_is_left()

    def test_a_file_system_that_gets_full(self):
        self.prepare(lambda root: put(root, "mine", b"m" * (130 * MIB)),
                     lambda root: put(root, "theirs", b"t" * (130 * MIB)))
        before = self.digest(self.vm)
        self.assertIn("has no room for what the VM adds", self.rebase(status=7).stderr)
        self.assertEqual(self.digest(self.vm), before)
        self.check_nothing_is_left()

    def test_a_damaged_master_is_told_from_an_error_of_the_kernel(self):
        """What the kernel calls an I/O error is told with the name of the image."""
        words = bytes(range(1, 251)) * 400
        self.prepare(lambda root: put(root, "marked", "mine"), lambda root: put(root, "marked", words))
        sealed_at = os.stat(self.v2).st_mtime_ns
        with open(self.v2, "r+b") as file:
            at = file.read().index(words[:4000])
            file.seek(at + 100)
            file.write(b"damage")
        os.utime(self.v2, ns=(sealed_at, sealed_at))
        said = self.rebase(status=1).stderr
        self.assertIn("does not match its checksum", said)
        self.assertNotIn("Input/output error", said)
        self.check_nothing_is_left()

    def test_only_root_may(self):
        self.prepare(change_ours, change_theirs)
        for path in (self.masters, self.directory, self.v1, self.v2, self.vm):
            os.chmod(path, 0o755)
        said = run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", harness.MICA, "fit", self.vm, "--onto",
                   self.v2, "--mount-volumes", self.KIND, status=1).stderr
        self.assertIn("expected root", said)

    def test_another_name_is_refused(self):
        self.prepare(change_ours, change_theirs)
        said = self.rebase(status=2, options=["--mount-volumes", "ntfs"]).stderr
        self.assertIn("xfs, btrfs or both, found 'ntfs'", said)


class Xfs(Volumes, harness.TestCase):
    KIND, MKFS, CHECK = "xfs", ("mkfs.xfs", "-q", "-f"), ("xfs_repair", "-n")


class Btrfs(Volumes, harness.TestCase):
    KIND, MKFS, CHECK = "btrfs", ("mkfs.btrfs", "-q", "-f"), ("btrfs", "check", "--readonly")

    def test_subvolumes_are_refused(self):
        def nest(root):
            run("btrfs", "subvolume", "create", os.path.join(root, "etc/nested"))
        self.prepare(nest, lambda root: put(root, "b", "b"))
        said = self.rebase(status=1).stderr
        self.assertIn("subvolume 'nested'", said)
        self.assertIn("--mount-volumes", said)
        self.check_nothing_is_left()


class Partitions(harness.TestCase):
    """An ext4 root directory whose fstab mounts an XFS partition."""

    def test_policies_and_reports_speak_of_the_paths_of_the_guest(self):
        script = "label: gpt\nstart=1MiB, size=16MiB, type=linux\nstart=17MiB, size=302MiB, type=linux\n"
        v1 = disks.Disk.make(self.path("v1.raw"), 320 * MIB, script)
        v1.format(1, "mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=0")
        fstab = put(self.directory, "fstab", "/dev/vda2 /var xfs defaults 0 2\n")
        v1.debugfs(1, "mkdir etc", f"write {fstab} etc/fstab")
        v1.format(2, "mkfs.xfs", "-q", "-f")
        with self.mount(v1) as root:
            put(root, "lib/data", "old\n")
        v2, ours = v1.copy(self.path("v2.raw")), v1.copy(self.path("ours.raw"))
        for disk, name in ((v2, "patch"), (ours, "own")):
            disk.debugfs(1, f"write {fstab} {name}")
            with self.mount(disk) as root:
                put(root, name, name)
                put(root, f"cache/{name}", name)
        mica("seal", v1.path)
        mica("seal", v2.path)
        vm = self.path("vm.mica")
        mica("convert", "-f", "raw", "-O", "mica", "-b", v1.path, ours.path, vm)
        mica("rebase", vm, "--onto", v2.path, "--mount-volumes", "xfs")
        with open(vm + ".report.jsonl", encoding="utf-8") as file:
            entries = {entry.get("path"): entry for entry in map(json.loads, file)}
        self.assertEqual({"/own", "/var/own"} - set(entries), set())
        self.assertEqual(entries["/var/cache/own"]["action"], "dropped")
        raw = self.path("result.raw")
        mica("convert", "-O", "raw", vm, raw)
        result = disks.Disk(raw, v1.partitions)
        result.check(1)
        self.assertEqual(result.names(1), {"etc", "patch", "own"})
        with self.mount(result) as root:
            self.assertEqual(set(os.listdir(root)), {"lib", "patch", "own", "cache"})
            self.assertEqual(os.listdir(os.path.join(root, "cache")), ["patch"])

    def mount(self, disk):
        offset, size = disk.partitions[2]
        return Mounted(disk.path, self.directory, "nouuid", offset, size)


if __name__ == "__main__":
    harness.need_root("mounting needs loop devices and FUSE")
    harness.need_programs("mkfs.xfs", "mkfs.btrfs", "xfs_repair", "btrfs", "sfdisk", "mke2fs", "debugfs", "losetup",
                          "chattr", "setpriv")
    with open("/proc/filesystems", encoding="ascii") as known:
        if not {"xfs", "btrfs"} <= {line.split()[-1] for line in known}:
            harness.skip("the kernel has not both XFS and btrfs")
    harness.main()
