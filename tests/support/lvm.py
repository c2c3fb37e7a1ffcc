# SPDX-License-Identifier: Apache-2.0
"""Disks with LVM2 volume groups, made by the real programs without device mapper: metadata only. Needs root for loop
devices, which are gone when a command has ended."""

import contextlib
import os
import subprocess

import disk as disks
import harness
import pool
from harness import run

# Neither the machine's configuration nor its other devices, no daemons, no backups of metadata.
CONFIGURATION = """
devices {{ scan = ["/dev"] filter = [{accepted}, "r|.*|"] use_devicesfile = 0
  obtain_device_list_from_udev = 0 external_device_info_source = "none" }}
global {{ use_lvmpolld = 0 use_lvmlockd = 0 event_activation = 0 locking_dir = "{directory}/lock" }}
activation {{ udev_sync = 0 udev_rules = 0 monitoring = 0 }}
backup {{ backup = 0 archive = 0 }}
"""


class LvmDisk(disks.Disk):
    """A disk of which some partitions are physical volumes of one group, in the order of their numbers."""

    def __init__(self, path, partitions, physical):
        super().__init__(path, partitions)
        self.physical = physical
        self.volumes = {}  # "group/volume" -> [(offset, length) …]

    @classmethod
    def of(cls, disk, physical):
        return cls(disk.path, disk.partitions, physical)

    def copy(self, path):
        copy = LvmDisk.of(super().copy(path), self.physical)
        copy.volumes = self.volumes
        return copy

    @contextlib.contextmanager
    def tools(self):
        """Gives a function that runs an LVM command, in which @0, @1 … are the physical volumes; and their names."""
        loops = []
        try:
            for number in self.physical:
                offset, size = self.partitions[number]
                loops.append(run("losetup", "--find", "--show", "--offset", offset, "--sizelimit", size,
                                 self.path).stdout.strip())
            yield (lambda command: self._lvm(command, loops)), loops
        finally:
            for loop in loops:
                run("losetup", "--detach", loop)

    def _lvm(self, command, loops):
        directory = os.path.dirname(self.path)
        accepted = ", ".join(f'"a|^{loop}$|"' for loop in loops)
        text = CONFIGURATION.format(accepted=accepted, directory=directory)
        words = [loops[int(word[1:])] if word.startswith("@") else word for word in command.split()]
        environment = os.environ | {"LVM_SYSTEM_DIR": directory, "LVM_SUPPRESS_FD_WARNINGS": "1"}
        ended = subprocess.run(["lvm", words[0], "--driverloaded", "n", "--config", text, *words[1:]],
                               env=environment, capture_output=True, text=True, check=False)
        if ended.returncode != 0:
            raise AssertionError(f"lvm {command}: {ended.stderr}")
        return ended.stdout

    def lvm(self, *commands):
        """Runs them, and asks LVM where the volumes are now."""
        with self.tools() as (tool, loops):
            for command in commands:
                tool(command)
            rows = "--noheadings --units b --nosuffix --separator ,"
            starts = {}
            for line in tool(f"pvs {rows} -o pv_name,pe_start,vg_extent_size").split():
                name, start, extent = line.split(",")
                starts[name] = self.partitions[self.physical[loops.index(name)]][0] + int(start)
            pieces = {}
            for line in tool(f"lvs {rows} --segments -o lv_full_name,seg_start,seg_pe_ranges").splitlines():
                name, start, *ranges = line.strip().replace(" ", ",").split(",")
                for place in ranges:
                    device, extents = place.split(":")
                    first, last = (int(number) * int(extent) for number in extents.split("-"))
                    place = (starts[device] + first, last + int(extent) - first)
                    pieces.setdefault(name, []).append((int(start), place))
            self.volumes = {name: [place for _, place in sorted(found)] for name, found in pieces.items()}

    def read_volume(self, name):
        with open(self.path, "rb") as file:
            content = b""
            for offset, length in self.volumes[name]:
                file.seek(offset)
                content += file.read(length)
        return content

    def write_volume(self, name, content):
        with open(self.path, "r+b") as file:
            for offset, length in self.volumes[name]:
                file.seek(offset)
                file.write(content[:length])
                content = content[length:]

    @contextlib.contextmanager
    def as_file(self, name):
        """The volume as a file of its own; what is changed in it goes back."""
        path = self.path + ".volume"
        with open(path, "wb") as file:
            file.write(self.read_volume(name))
        yield path
        with open(path, "rb") as file:
            self.write_volume(name, file.read())
        os.unlink(path)

    def debugfs_volume(self, name, *commands):
        with self.as_file(name) as path:
            pool.debugfs(path, *commands)


def need_lvm():
    harness.need_programs("lvm", "losetup", "sfdisk", "mke2fs", "debugfs", "e2fsck", "mkswap")
    harness.need_root("LVM's programs want block devices")
