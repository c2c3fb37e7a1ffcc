#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""copy_delta.py PARENT DISK OVERLAY: writes into the qcow2 OVERLAY (over PARENT) what DISK has different.

Both inputs are raw. Only differing clusters are written, as a machine would have written them.
"""

import mmap
import os
import subprocess
import sys
import tempfile

import nbd

CLUSTER = 64 * 1024


def map_file(path):
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)


def copy(parent, disk, overlay):
    with tempfile.TemporaryDirectory() as directory:
        socket = os.path.join(directory, "socket")
        subprocess.run(["qemu-nbd", "--fork", "--format=qcow2", "--socket", socket, overlay], check=True)
        handle = nbd.NBD()
        handle.connect_unix(socket)
        for offset in range(0, len(disk), CLUSTER):
            piece = disk[offset:offset + CLUSTER]
            if piece != parent[offset:offset + CLUSTER]:
                handle.pwrite(piece, offset)
        handle.flush()
        handle.shutdown()


def main():
    if len(sys.argv) != 4:
        print(__doc__, file=sys.stderr)
        return 2
    copy(map_file(sys.argv[1]), map_file(sys.argv[2]), sys.argv[3])
    return 0


if __name__ == "__main__":
    sys.exit(main())
