#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a mounted tree holds, and whether a rebase lost anything of it.

  tree.py scan ROOT FILE                        records every path below ROOT in FILE
  tree.py judge BASE OURS THEIRS RESULT REPORT  compares four such records; exit 1 if something is lost

Independent of mica: it reads trees through the kernel and the report as the text it is.
"""

import collections
import hashlib
import json
import os
import re
import stat
import sys

KINDS = {
    stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink", stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket", stat.S_IFCHR: "char", stat.S_IFBLK: "block",
}

# kind .. content are compared one by one; inode only tells which objects are the same.
Entry = collections.namedtuple("Entry", "inode kind mode uid gid mtime xattrs content")
ATTRIBUTES = ("kind", "mode", "uid", "gid", "mtime", "xattrs", "content")


def digest_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def content_of(path, info, kind, digests):
    if kind == "file":
        file = (info.st_dev, info.st_ino)
        if file not in digests:  # one digest for all names of a file
            digests[file] = f"{info.st_size} {digest_of(path)}"
        return digests[file]
    if kind == "symlink":
        return os.fsdecode(os.readlink(path))
    if kind in ("char", "block"):
        return f"{os.major(info.st_rdev)}:{os.minor(info.st_rdev)}"
    return ""


def entry_of(path, digests, users, groups):
    info = os.lstat(path)
    kind = KINDS[stat.S_IFMT(info.st_mode)]
    xattrs = {name: os.getxattr(path, name, follow_symlinks=False).hex()
              for name in sorted(os.listxattr(path, follow_symlinks=False))}
    return Entry(
        inode=info.st_ino, kind=kind, mode=stat.S_IMODE(info.st_mode),
        uid=users.get(info.st_uid, info.st_uid), gid=groups.get(info.st_gid, info.st_gid),
        # A directory's own time follows from changes of its entries.
        mtime=0 if kind == "directory" else info.st_mtime_ns,
        xattrs=json.dumps(xattrs), content=content_of(path, info, kind, digests))


def names_by_id(root, database):
    """Owners are compared by name: a rebase may give a daemon another number."""
    names = {}
    try:
        with open(os.path.join(root, database.encode()), encoding="utf-8", errors="replace") as file:
            for line in file:
                fields = line.rstrip("\n").split(":")
                if len(fields) > 2 and fields[2].isdigit():
                    names.setdefault(int(fields[2]), fields[0])
    except FileNotFoundError:
        pass
    return names


def scan(root):
    """All paths below `root` (str without leading slash, undecodable bytes as surrogates) -> Entry."""
    root = os.fsencode(root)
    users, groups = names_by_id(root, "etc/passwd"), names_by_id(root, "etc/group")
    entries, digests = {}, {}
    for directory, subdirectories, files in os.walk(root):
        for name in subdirectories + files:
            path = os.path.join(directory, name)
            relative = os.fsdecode(os.path.relpath(path, root))
            if relative != "lost+found":
                entries[relative] = entry_of(path, digests, users, groups)
    return entries


def save(entries, path):
    with open(path, "w", encoding="ascii") as file:
        for name in sorted(entries):
            file.write(json.dumps([name, *entries[name]]) + "\n")


def load(path):
    with open(path, encoding="ascii") as file:
        return {name: Entry(*fields) for name, *fields in map(json.loads, file)}


# These say that the path is as the owner left it; then it has to be.
AS_IT_WAS = ("carried", "equal")


def reported_paths(report):
    """The paths with which the report says that something else than carrying them happened -> its entry."""
    paths = {}
    with open(report, encoding="utf-8", errors="surrogateescape") as file:
        for entry in map(json.loads, file):
            if "path" not in entry or entry.get("action") in AS_IT_WAS:
                continue
            named = [entry["path"], *entry.get("other_paths", ())]
            if "saved_beside" in entry:
                named.append(os.path.join(os.path.dirname(entry["path"]), entry["saved_beside"]))
            for path in named:
                paths[unescape(path, entry).strip("/")] = entry
    return paths


def unescape(path, entry):
    """Paths that are not UTF-8 are written with \\xHH and \\\\, and marked."""
    if not entry.get("path_escaped"):
        return path
    raw = re.sub(rb"\\(x[0-9a-f]{2}|\\)", lambda match: b"\\" if match[1] == b"\\" else bytes.fromhex(
        match[1][1:].decode()), path.encode("utf-8", "surrogateescape"))
    return os.fsdecode(raw)


def is_reported(path, reported):
    return path in reported


def same(one, other):
    """Equal but for the inode number, which says nothing across disks."""
    return one is not None and other is not None and one[1:] == other[1:]


def same_but_time(one, other):
    return one is not None and other is not None and same(one, other._replace(mtime=one.mtime))


def merged(base, ours, theirs):
    """The attribute-wise merge of one object; None where both sides changed an attribute differently."""
    fields = {}
    for name in ATTRIBUTES:
        b, o, t = (getattr(entry, name) for entry in (base, ours, theirs))
        if o != b and t != b and o != t and name != "mtime":
            return None
        fields[name] = t if o == b else o
    return Entry(inode=0, **fields)


class Judgement:
    """Looks at every path of the four trees once and counts what became of it."""

    def __init__(self, base, ours, theirs, result, reported):
        self.base, self.ours, self.theirs, self.result = base, ours, theirs, result
        self.reported = reported
        self.base_by_inode = {entry.inode: path for path, entry in base.items()}
        self.counts = collections.Counter()
        self.lost = []

    def lineage(self, path):
        """The master's path of the owner's object at `path`: the same path, or where it was moved from."""
        if path in self.base:
            return path
        return self.base_by_inode.get(self.ours[path].inode)

    def check_owner(self, path):
        ours, result = self.ours[path], self.result.get(path)
        if same(self.base.get(path), ours):
            return  # not the owner's doing
        if same(ours, result) or same_but_time(ours, self.theirs.get(path)) and same_but_time(ours, result):
            self.counts["identical"] += 1
        elif result is None and self.only_moved(path):
            self.counts["moved and then removed by the patch"] += 1
        elif is_reported(path, self.reported):
            self.counts["named in the report"] += 1
        elif self.is_merge(path, result):
            self.counts["merged with the patch"] += 1
        else:
            self.lost.append(("owner", path, ours, result))

    def only_moved(self, path):
        """The owner moved it, unchanged; what the patch did to it happened where it went."""
        origin = self.lineage(path)
        return origin != path and same(self.base.get(origin), self.ours[path]) and origin not in self.theirs

    def is_merge(self, path, result):
        origin = self.lineage(path)
        base, theirs = self.base.get(origin), self.theirs.get(origin)
        if result is None or base is None or theirs is None:
            return False
        expected = merged(base, self.ours[path], theirs)
        return expected is not None and expected._replace(mtime=result.mtime)[1:] == result[1:]

    def check_deleted(self, path):
        if path in self.ours:
            return
        if path not in self.result:
            self.counts["deleted"] += 1
        elif is_reported(path, self.reported):
            self.counts["named in the report"] += 1
        else:
            self.lost.append(("deletion", path, None, self.result[path]))

    def check_patch(self, path):
        base, theirs = self.base.get(path), self.theirs.get(path)
        if same(base, theirs) or not (same(base, self.ours.get(path)) or base is self.ours.get(path)):
            return  # not patched, or not by the patch alone
        result = self.result.get(path)
        if same(theirs, result) or (theirs is None and result is None):
            self.counts["patched"] += 1
        elif not is_reported(path, self.reported):
            self.lost.append(("patch", path, theirs, result))

    def check_untouched(self, path):
        if path not in self.ours and path not in self.theirs and not is_reported(path, self.reported):
            self.lost.append(("from nowhere", path, None, self.result[path]))

    def run(self):
        for path in self.ours:
            self.check_owner(path)
        for path in self.base:
            self.check_deleted(path)
        for path in set(self.base) | set(self.theirs):
            self.check_patch(path)
        for path in self.result:
            self.check_untouched(path)


def describe(entry):
    return "absent" if entry is None else " ".join(f"{k}={getattr(entry, k)}" for k in ATTRIBUTES)


def judge(paths, report):
    judgement = Judgement(*map(load, paths), reported_paths(report))
    judgement.run()
    for side, path, expected, found in judgement.lost[:50]:
        print(f"LOST ({side}): {path!r}\n  expected {describe(expected)}\n  found    {describe(found)}")
    counts = ", ".join(f"{count} {what}" for what, count in sorted(judgement.counts.items()))
    print(f"{counts}, {len(judgement.lost)} lost")
    return 1 if judgement.lost else 0


def main(arguments):
    if len(arguments) == 3 and arguments[0] == "scan":
        save(scan(arguments[1]), arguments[2])
        return 0
    if len(arguments) == 6 and arguments[0] == "judge":
        return judge(arguments[1:5], arguments[5])
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
