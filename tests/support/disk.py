# SPDX-License-Identifier: Apache-2.0
"""Disks with partitions in plain files, made and changed without mounts, devices or root."""

import hashlib
import os
import re

import harness
import pool
from harness import run

MIB = 1 << 20


class Disk:
    """A raw disk whose partitions are known by number."""

    def __init__(self, path, partitions):
        self.path = path
        self.partitions = partitions  # number -> (offset, size)

    @classmethod
    def make(cls, path, size, script):
        """A disk partitioned by an sfdisk script; starts and sizes of it are in MiB."""
        harness.make_raw(path, size)
        run("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", path, input=script)
        partitions = {}
        for line in run("sfdisk", "--dump", path).stdout.splitlines():
            found = re.match(r".*?(\d+) : start= *(\d+), size= *(\d+)", line)
            if found:
                number, start, sectors = map(int, found.groups())
                partitions[number] = (start * 512, sectors * 512)
        return cls(path, partitions)

    def copy(self, path):
        run("cp", "--sparse=always", self.path, path)
        return Disk(path, self.partitions)

    def write(self, number, content, at=0):
        with open(self.path, "r+b") as file:
            file.seek(self.partitions[number][0] + at)
            file.write(content)

    def read(self, number):
        offset, size = self.partitions[number]
        with open(self.path, "rb") as file:
            file.seek(offset)
            return file.read(size)

    def format(self, number, *command):
        """Runs a mkfs program on a file of the partition's size, and puts that there."""
        image = self.path + ".part"
        harness.make_raw(image, self.partitions[number][1])
        run(*command, image)
        with open(image, "rb") as file:
            self.write(number, file.read())
        os.unlink(image)

    def debugfs(self, number, *commands):
        pool.debugfs(self.at(number), *commands)

    def at(self, number):
        """An ext file system, as e2fsprogs name it."""
        return f"{self.path}?offset={self.partitions[number][0]}"

    def names(self, number, folder="/"):
        lines = run("debugfs", "-R", f"ls -p {folder}", self.at(number)).stdout.splitlines()
        return {line.split("/")[5] for line in lines if line.count("/") > 5} - {".", "..", "lost+found"}

    def check(self, number):
        run("e2fsck", "-fn", self.at(number))

    def fat_file(self, number, source, target):
        run("mcopy", "-i", f"{self.path}@@{self.partitions[number][0]}", source, f"::{target}")

    def digest(self, number):
        return hashlib.sha256(self.read(number)).hexdigest()
