# SPDX-License-Identifier: Apache-2.0
"""File systems of disks, mounted by the kernel; needs root and loop devices."""

import contextlib
import os
import subprocess
import tempfile
import time

from harness import Server, run

PARTITION_OFFSET = 1 << 20


class Mounted:
    """What lies in a disk file at an offset, mounted; a context that gives the mount point, a new one unless `at` is
    given."""

    def __init__(self, disk, *options, offset=PARTITION_OFFSET, at=None):
        self.disk, self.options, self.offset, self.at = disk, options, offset, at

    def __enter__(self):
        self.root = self.at or tempfile.mkdtemp(prefix="mica-mnt-")
        self.loop = run("losetup", "--find", "--show", "--offset", self.offset, self.disk).stdout.strip()
        try:
            run("mount", "-o", ",".join(("noatime", *self.options)), self.loop, self.root)
        except AssertionError:
            run("losetup", "--detach", self.loop)
            raise
        return self.root

    def __exit__(self, *_):
        run("umount", self.root)
        run("losetup", "--detach", self.loop)
        self.wait_until_free()
        if self.at is None:
            os.rmdir(self.root)

    def wait_until_free(self):
        """Another process's mount namespace can hold the file system a little longer; until it is gone
        the disk file is not all there."""
        for _ in range(6000):
            if subprocess.run(["losetup", self.loop], capture_output=True, check=False).returncode != 0:
                return
            time.sleep(0.02)
        raise AssertionError(f"{self.loop} stays attached")


@contextlib.contextmanager
def mounted_volumes(disk, volumes, *options):
    """A guest's volumes, (offset, mount point) each, the root directory first; gives where that is."""
    with contextlib.ExitStack() as stack:
        root = stack.enter_context(Mounted(disk, *options, offset=volumes[0][0]))
        for offset, path in volumes[1:]:
            stack.enter_context(Mounted(disk, *options, offset=offset, at=os.path.join(root, path)))
        yield root


class FuseFile:
    """An export of a server as a disk file, through nbdfuse: a VM that is on."""

    def __init__(self, uri, directory, *options):
        self.uri, self.directory, self.options = uri, directory, options

    def __enter__(self):
        self.mount = tempfile.mkdtemp(prefix="fuse-", dir=self.directory)
        disk = os.path.join(self.mount, "disk")
        self.fuse = subprocess.Popen(["nbdfuse", *self.options, disk, self.uri])
        for _ in range(1000):
            if os.path.exists(disk):
                return disk
            if self.fuse.poll() is not None:
                break
            time.sleep(0.01)
        self.fuse.kill()
        self.fuse.wait()
        raise AssertionError("nbdfuse shows nothing")

    def __exit__(self, *_):
        run("fusermount3", "-u", self.mount)
        self.fuse.wait()
        os.rmdir(self.mount)


@contextlib.contextmanager
def exported(image, directory, options=()):
    """An image as a disk file, through `mica serve` and nbdfuse."""
    with Server(directory, f"vm={image}", options=options) as server, FuseFile(server.uri("vm"), directory) as disk:
        yield disk


def copy_disk(source, target):
    run("cp", "--sparse=always", source, target)
