# SPDX-License-Identifier: Apache-2.0
"""What Debian's own tools say of a rebased root: packages, files, libraries, accounts. Independent of mica."""

import collections
import os

import tree


def is_reported(records, path):
    return path.lstrip("/") in records or merged_usr(path) in records


def merged_usr(path):
    """As the report names it: /bin and its like are links into /usr."""
    path = path.lstrip("/")
    return f"usr/{path}" if path.split("/")[0] in ("bin", "sbin", "lib", "lib64") else path


def unexplained_files(result, sides, records):
    """Complaints of `dpkg --verify` that neither a side had before nor the report speaks of."""
    return {path: line for path, line in result.items()
            if all(side.get(path) != line for side in sides) and not is_reported(records, path)}


def packages_lost(base, ours, theirs, result):
    """What a side installed, removed or upgraded and the result does not have so. Where both did, the higher
    version is the right one; a package that the new release replaced under another name is its affair."""
    problems = []
    for name in sorted(set(base) | set(ours) | set(theirs)):
        versions = [side.get(name) for side in (base, ours, theirs)]
        was, mine, other = versions
        wanted = {other} if mine == was else {mine} if other == was else {mine, other} - {None}
        if other is None and was is not None and mine is not None:
            wanted.add(None)
        if result.get(name) not in wanted:
            problems.append(f"{name}: {result.get(name)}, but base, ours, theirs have {versions}")
    return problems


def is_program(path):
    if os.path.islink(path) or not os.path.isfile(path) or not os.access(path, os.X_OK):
        return False
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def programs_of(guest, packages):
    """Paths of the ELF programs of packages, as dpkg lists them."""
    names = set()
    info = guest.path("var/lib/dpkg/info")
    for package in packages:
        for candidate in (f"{package}.list", f"{package}:amd64.list"):
            if os.path.exists(os.path.join(info, candidate)):
                with open(os.path.join(info, candidate), encoding="utf-8") as file:
                    names |= {merged_usr(line.strip()) for line in file}
    return sorted(name for name in names
                  if name.startswith(("usr/bin/", "usr/sbin/", "usr/lib/", "usr/libexec/"))
                  and ".so" not in os.path.basename(name) and is_program(guest.path(name)))


def unlinked_programs(guest, programs):
    """Of these programs, those whose libraries or symbol versions are not there: the linker's own words."""
    # As ldd does it, which takes four times as long.
    script = ('export LD_TRACE_LOADED_OBJECTS=1 LD_WARN=yes; '
              'while read -r name; do echo "/$name"; /lib64/ld-linux-x86-64.so.2 "/$name" 2>&1; done; true')
    problems, program, known = [], "", 0
    for line in guest.run("sh", "-c", script, text="".join(f"{name}\n" for name in programs)).stdout.splitlines():
        if line.startswith("/") and " " not in line:
            program = line
        known += "libc.so" in line
        if "not found" in line:
            problems.append(f"{program}: {line.strip()}")
    if programs and not known:
        problems.append("the linker says nothing of any program")
    return problems


def double_accounts(guest):
    """Names or ids that /etc/passwd or /etc/group has twice."""
    problems = []
    for database in ("etc/passwd", "etc/group"):
        rows = [line.split(":") for line in guest.read(database).splitlines()]
        for column in (0, 2):
            counts = collections.Counter(row[column] for row in rows)
            problems += [f"{database}: {value} {count} times" for value, count in counts.items() if count > 1]
    return problems


def nothing_lost(trees, report):
    """Every path of four trees (base, ours, theirs, result); the sentence of counts."""
    judgement = tree.Judgement(*trees, tree.reported_paths(report))
    judgement.run()
    problems = [f"{side} {path}: expected {tree.describe(expected)}, found {tree.describe(found)}"
                for side, path, expected, found in judgement.lost]
    return problems, ", ".join(f"{count} {what}" for what, count in sorted(judgement.counts.items()))
