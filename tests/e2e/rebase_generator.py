# SPDX-License-Identifier: Apache-2.0
"""Random trees and random changes to them, made through the kernel, with a record of which object is
which.

A Side works on a mounted tree and keeps `names`: path -> object number, for every name of every object. A
number follows its object through renames, moves and hard links. That record is all the oracle knows about
identity; what objects contain it reads from the mounted trees.
"""

import errno
import os
import random
import shutil
import stat

TEXT_LINES = 60
FLAVOURS = ("data", "data", "data", "home/user", "srv/files")


def text_line(random_source, number):
    return f"line {number} {random_source.getrandbits(64):016x}\n"


class Side:
    """One side's tree: the mount point `root`, what it contains, and random operations on it. A third of
    all operations go to the paths in `hot`, so that two sides with the same ones meet."""

    def __init__(self, root, seed, names=None, numbers_from=1, hot=()):
        self.root = root
        self.hot = set(hot)
        self.random = random.Random(seed)
        self.names = dict(names or {})
        self.next_number = numbers_from
        self.log = []

    def full(self, path):
        return os.path.join(self.root, path)

    def new_number(self):
        self.next_number += 1
        return self.next_number

    def kind(self, path):
        return stat.S_IFMT(os.lstat(self.full(path)).st_mode)

    def pick(self, *kinds):
        """A random existing path of one of the kinds, or None."""
        paths = [path for path in sorted(self.names) if "/" in path and self.kind(path) in kinds]
        if self.random.random() < 0.33:
            paths = [path for path in paths if path in self.hot] or paths
        return self.random.choice(paths) if paths else None

    def pick_file(self):
        return self.pick(stat.S_IFREG)

    def pick_directory(self):
        return self.pick(stat.S_IFDIR) or "data"

    def new_path(self, suffix=""):
        """A path that does not exist; few possible names, so that both sides sometimes choose the same."""
        for width in (20, 200, 1 << 60):
            path = f"{self.pick_directory()}/n{self.random.randrange(width)}{suffix}"
            if path not in self.names:
                return path
        raise AssertionError("no free name")

    def free_sibling(self, path, suffix):
        path += suffix
        return path if path not in self.names else path + str(self.random.getrandbits(30))

    def random_bytes(self):
        size = self.random.choice((0, 1, 37, 100, 1000, 4096, 5000, 20000, 70000))
        return self.random.randbytes(size)

    def write(self, path, data):
        with open(self.full(path), "wb") as file:
            file.write(data)

    # --- What makes new objects.

    def create_file(self):
        path = self.new_path()
        self.write(path, self.random_bytes())
        self.names[path] = self.new_number()
        return path

    def create_sparse(self):
        path = self.new_path()
        with open(self.full(path), "wb") as file:
            for _ in range(self.random.randint(1, 4)):
                file.seek(self.random.randrange(1 << 24))
                file.write(self.random.randbytes(300))
            file.truncate(self.random.randrange(1 << 25))
        self.names[path] = self.new_number()
        return path

    def create_text(self):
        path = self.new_path(".txt")
        self.write(path, "".join(text_line(self.random, index) for index in range(TEXT_LINES)).encode())
        self.names[path] = self.new_number()
        return path

    def create_directory(self):
        path = self.new_path()
        os.mkdir(self.full(path))
        self.names[path] = self.new_number()
        return path

    def create_large_directory(self):
        """Enough entries for several directory blocks."""
        path = self.create_directory()
        for index in range(self.random.randint(80, 300)):
            name = f"{path}/entry-with-a-long-name-{index:04d}"
            self.write(name, b"%d" % index)
            self.names[name] = self.new_number()
        return path

    def create_symlink(self):
        path = self.new_path()
        os.symlink("x" * self.random.choice((1, 20, 59, 60, 200)), self.full(path))
        self.names[path] = self.new_number()
        return path

    def create_special(self):
        path = self.new_path()
        kind = self.random.choice((stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK))
        os.mknod(self.full(path), kind | 0o600, os.makedev(self.random.randrange(300), self.random.randrange(300)))
        self.names[path] = self.new_number()
        return path

    def create_hard_link(self):
        source = self.pick_file()
        if source is None:
            return None
        path = self.new_path(".txt" if source.endswith(".txt") else "")
        os.link(self.full(source), self.full(path))
        self.names[path] = self.names[source]
        return f"{source} as {path}"

    # --- What changes content.

    def edit_in_place(self):
        path = self.pick_file()
        if path is None or path.endswith(".txt"):
            return None
        size = os.path.getsize(self.full(path))
        with open(self.full(path), "r+b") as file:
            file.seek(self.random.randrange(size + 1))
            file.write(self.random.randbytes(self.random.choice((1, 10, 500, 5000))))
        return path

    def truncate(self):
        path = self.pick_file()
        if path is None or path.endswith(".txt"):
            return None
        with open(self.full(path), "r+b") as file:  # never by path: see the note in harness.py's make_raw
            file.truncate(self.random.randrange(os.path.getsize(self.full(path)) + 5000))
        return path

    def edit_line(self):
        texts = [path for path in sorted(self.names) if path.endswith(".txt") and self.kind(path) == stat.S_IFREG]
        if not texts:
            return None
        path = self.random.choice(texts)
        with open(self.full(path), "r+", encoding="ascii") as file:
            lines = file.readlines()
            index = self.random.randrange(len(lines))
            lines[index] = text_line(self.random, index)
            file.seek(0)
            file.writelines(lines)
        return f"{path} line {index}"

    def save_by_rename(self):
        """As editors save: a new file takes the old one's name."""
        path = self.pick_file()
        if path is None or path.endswith(".txt"):
            return None
        temporary = self.free_sibling(path, ".tmp")
        self.write(temporary, self.random_bytes())
        shutil.copymode(self.full(path), self.full(temporary))
        os.rename(self.full(temporary), self.full(path))
        self.names[path] = self.new_number()
        return path

    # --- What changes names.

    def rename(self):
        path = self.pick(stat.S_IFREG, stat.S_IFLNK, stat.S_IFIFO)
        return path and self.move_to(path, self.new_path(".txt" if path.endswith(".txt") else ""))

    def move_directory(self):
        path, target = self.pick(stat.S_IFDIR), self.new_path()
        if path is None or target.startswith(path + "/"):
            return None
        return self.move_to(path, target)

    def move_to(self, path, target):
        os.rename(self.full(path), self.full(target))
        for name in [name for name in self.names if name == path or name.startswith(path + "/")]:
            self.names[target + name[len(path):]] = self.names.pop(name)
        return f"{path} to {target}"

    def swap(self):
        one, other = self.pick_file(), self.pick_file()
        if one is None or one == other or one.endswith(".txt") or other.endswith(".txt"):
            return None
        staging = self.free_sibling(one, ".swap")
        self.move_to(one, staging)
        self.move_to(other, one)
        self.move_to(staging, other)
        return f"{one} and {other}"

    def delete(self):
        path = self.pick(stat.S_IFREG, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR)
        if path is None:
            return None
        os.unlink(self.full(path))
        del self.names[path]
        return path

    def delete_tree(self):
        path = self.pick(stat.S_IFDIR)
        below = [name for name in self.names if name == path or name.startswith(f"{path}/")]
        if path is None or len(below) > 15:
            return None
        shutil.rmtree(self.full(path))
        for name in below:
            del self.names[name]
        return path

    def change_type(self):
        path = self.pick_file()
        if path is None or path.endswith(".txt"):
            return None
        os.unlink(self.full(path))
        if self.random.random() < 0.5:
            os.symlink("was-a-file", self.full(path))
        else:
            os.mkdir(self.full(path))
        self.names[path] = self.new_number()
        return path

    # --- What changes attributes.

    def change_mode(self):
        path = self.pick(stat.S_IFREG, stat.S_IFDIR)
        path and os.chmod(self.full(path), self.random.choice((0o600, 0o644, 0o755, 0o4755, 0o1777, 0o2750)))
        return path

    def change_owner(self):
        path = self.pick(stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
        path and os.lchown(self.full(path), self.random.randrange(1000, 1004), self.random.randrange(1000, 1004))
        return path

    def set_xattr(self):
        path = self.pick(stat.S_IFREG, stat.S_IFDIR)
        name = self.random.choice(("user.a", "user.b", "trusted.c"))
        value = self.random.randbytes(self.random.choice((0, 5, 60, 900, 2500)))
        try:
            path and os.setxattr(self.full(path), name, value)
        except OSError as error:
            if error.errno != errno.ENOSPC:  # small blocks hold few attributes
                raise
            return None
        return path and f"{path} {name}"

    def remove_xattr(self):
        path = self.pick(stat.S_IFREG, stat.S_IFDIR)
        present = path and os.listxattr(self.full(path))
        if not present:
            return None
        os.removexattr(self.full(path), present[0])
        return path

    def set_acl(self):
        """A POSIX ACL in the kernel's form: owner, user 1001, group, mask, others."""
        path = self.pick(stat.S_IFREG)
        entries = ((1, 6, 0xFFFFFFFF), (2, self.random.randrange(8), 1001), (4, 4, 0xFFFFFFFF),
                   (16, 7, 0xFFFFFFFF), (32, 0, 0xFFFFFFFF))
        value = (2).to_bytes(4, "little") + b"".join(
            tag.to_bytes(2, "little") + bits.to_bytes(2, "little") + who.to_bytes(4, "little")
            for tag, bits, who in entries)
        path and os.setxattr(self.full(path), "system.posix_acl_access", value)
        return path

    def touch(self):
        path = self.pick_file()
        path and os.utime(self.full(path), ns=(10**18, self.random.randrange(10**18, 2 * 10**18)))
        return path

    OPERATIONS = (
        (create_file, 6), (create_sparse, 2), (create_text, 2), (create_directory, 3), (create_symlink, 2),
        (create_special, 1), (create_hard_link, 3), (create_large_directory, 0.3), (edit_in_place, 6),
        (truncate, 2), (edit_line, 6), (save_by_rename, 4), (rename, 5), (move_directory, 2), (swap, 1),
        (delete, 5), (delete_tree, 1), (change_type, 0.7), (change_mode, 3), (change_owner, 2), (set_xattr, 3),
        (remove_xattr, 1), (set_acl, 1), (touch, 1),
    )

    def change(self, count):
        operations, weights = zip(*self.OPERATIONS)
        for operation in self.random.choices(operations, weights, k=count):
            outcome = operation(self)
            if outcome:
                self.log.append(f"{operation.__name__}: {outcome}")

    def furnish(self):
        """A base tree: a few directories under other policies, then files of all kinds."""
        for path in dict.fromkeys(FLAVOURS):
            for depth in range(1, path.count("/") + 2):
                prefix = "/".join(path.split("/")[:depth])
                if prefix not in self.names:
                    os.mkdir(self.full(prefix))
                    self.names[prefix] = self.new_number()
        for path in FLAVOURS:
            name = f"{path}/dir{self.random.randrange(9)}"
            if name not in self.names:
                os.mkdir(self.full(name))
                self.names[name] = self.new_number()
        for operation, count in ((self.create_directory, 8), (self.create_file, 30), (self.create_sparse, 3),
                                 (self.create_text, 8), (self.create_symlink, 5), (self.create_special, 3),
                                 (self.create_hard_link, 6), (self.set_xattr, 10), (self.change_mode, 5)):
            for _ in range(count):
                operation()
        if self.random.random() < 0.3:
            self.create_large_directory()
