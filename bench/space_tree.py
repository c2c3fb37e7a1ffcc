#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What bench_space.sh does inside of a mounted guest; the same arguments do the same to every one.

  space_tree.py make ROOT MIB           programs of an operating system, MIB in all, below ROOT/usr
  space_tree.py patch ROOT MIB NUMBER   replaces MIB of them as package managers do: a new file, renamed over the old one
  space_tree.py own ROOT MIB VM         MIB of the owner's files, below ROOT/home
"""

import os
import random
import sys

FILES_A_FOLDER = 200


def sizes(generator, total):
    """As of a real root: most files are small, most bytes are in large ones."""
    while total > 0:
        size = min(total, 200 + int(generator.lognormvariate(9.0, 1.8)), 16 << 20)
        yield size
        total -= size


def write(path, content):
    with open(path + ".new", "wb") as file:
        file.write(content)
    os.rename(path + ".new", path)


def fill(folder, total, generator):
    for number, size in enumerate(sizes(generator, total)):
        place = os.path.join(folder, f"{number // FILES_A_FOLDER}")
        os.makedirs(place, exist_ok=True)
        write(os.path.join(place, f"file{number}"), generator.randbytes(size))


def patch(folder, total, generator):
    files = sorted(os.path.join(place, name) for place, _, names in os.walk(folder) for name in names)
    generator.shuffle(files)
    for path in files:
        size = max(1, int(os.path.getsize(path) * generator.uniform(0.9, 1.1)))
        write(path, generator.randbytes(size))
        total -= size
        if total <= 0:
            return
    raise SystemExit(f"{folder} has not so much to replace")


def main():
    what, root, mib, *number = sys.argv[1:]
    generator = random.Random(f"{what} {number}")
    folder = os.path.join(root, "home" if what == "own" else "usr")
    (patch if what == "patch" else fill)(folder, int(mib) << 20, generator)


if __name__ == "__main__":
    main()
