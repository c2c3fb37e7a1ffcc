# SPDX-License-Identifier: Apache-2.0
"""Says what a rebase must have made of every object, from three trees and the identity of their objects.

Independent of mica. For every object on which the two sides do not want different things the result is
exact: its names and each of its attributes, by three-way merge. Where they do (a conflict), or where an
ancestor or a name is in conflict, the report must name the object, and the owner's content must still be
somewhere in the result unless the report says otherwise.
"""

import collections
import json
import os
import struct

ROOT = 0
ACCESS_LIST = "system.posix_acl_access"
ACL_USER_OBJ, ACL_GROUP_OBJ, ACL_MASK, ACL_OTHER = 0x01, 0x04, 0x10, 0x20
PLAIN_ATTRIBUTES = ("kind", "mode", "uid", "gid")
AMBIGUOUS = "it may be either of two objects"
IN_CONFLICT = "its directory is in conflict"
MAY_COLLIDE = "an object in conflict may have its name"

Object = collections.namedtuple("Object", "paths places entry text")  # places: {(parent number, leaf)}


class Tree:
    """One side: its objects by number. `names` is the generator's record, `entries` what the kernel shows."""

    def __init__(self, names, entries, texts):
        assert set(names) == set(entries), sorted(set(names) ^ set(entries))[:5]
        self.names, self.entries = names, entries
        paths = collections.defaultdict(list)
        for path in sorted(names):
            paths[names[path]].append(path)
        self.objects = {
            number: Object(paths=tuple(group), places=frozenset(self.place(path) for path in group),
                           entry=entries[group[0]], text=texts.get(group[0]))
            for number, group in paths.items()}

    def place(self, path):
        parent, leaf = os.path.split(path)
        return (self.names[parent] if parent else ROOT, leaf)


def renumber(tree, old, new):
    names = {path: new if number == old else number for path, number in tree.names.items()}
    return Tree(names, tree.entries, {obj.paths[0]: obj.text for obj in tree.objects.values()})


def follow_replacements(base, side, other, ambiguous):
    """A new object at the place of an old one of its kind is the old one with new content: programs save
    that way. It matters only where the other side changed the old one too; where the old one lives on
    under another name, either reading is good, and its number is added to `ambiguous`."""
    for number, old in base.objects.items():
        seen = other.objects.get(number)
        untouched = seen and seen.places == old.places and not differs(old, seen)
        if untouched and old.entry.kind != "directory":
            continue
        heirs = [heir for heir, new in side.objects.items() if heir not in base.objects
                 and new.places & old.places and new.entry.kind == old.entry.kind]
        if len(heirs) == 1 and number not in side.objects:
            side = renumber(side, heirs[0], number)
        elif heirs:
            ambiguous.update([number, *heirs])
    return side


def unite_new_objects(base, ours, theirs):
    """What both sides made at the same place, of the same kind, is one object."""
    united = True
    while united:
        united = False
        fresh = {place: number for number, obj in ours.objects.items() if number not in base.objects
                 and len(obj.places) == 1 for place in obj.places}
        for number, obj in theirs.objects.items():
            mine = fresh.get(min(obj.places))
            if (mine not in (None, number) and number not in base.objects and len(obj.places) == 1
                    and obj.entry.kind == ours.objects[mine].entry.kind):
                theirs, united = renumber(theirs, number, mine), True
                break
    return theirs


def differs(one, other):
    """Whether two versions of an object differ in anything but their names."""
    return one.entry.kind != "directory" and one.entry.mtime != other.entry.mtime or differs_in_more_than_time(one, other)


def differs_in_more_than_time(one, other):
    ignored = {"inode", "mtime"}
    return any(getattr(one.entry, name) != getattr(other.entry, name)
               for name in one.entry._fields if name not in ignored)


class Conflict(Exception):
    """Both sides want something else of one attribute."""


def three_way(base, ours, theirs):
    if ours == theirs or theirs == base:
        return ours
    if ours == base:
        return theirs
    raise Conflict


def merge_keys(base, ours, theirs):
    base, ours, theirs = map(json.loads, (base, ours, theirs))
    merged = {key: three_way(base.get(key), ours.get(key), theirs.get(key)) for key in {**base, **ours, **theirs}}
    return {key: value for key, value in merged.items() if value is not None}


def with_mode(xattrs, mode):
    """An access list has the mode in it: what chmod does where the one is of one side and the other of the other."""
    if ACCESS_LIST not in xattrs:
        return xattrs
    value = bytearray.fromhex(xattrs[ACCESS_LIST])
    entries = {struct.unpack_from("<H", value, at)[0]: at for at in range(4, len(value), 8)}  # by tag
    group = ACL_MASK if ACL_MASK in entries else ACL_GROUP_OBJ
    for tag, shift in ((ACL_USER_OBJ, 6), (group, 3), (ACL_OTHER, 0)):
        struct.pack_into("<H", value, entries[tag] + 2, mode >> shift & 7)
    return xattrs | {ACCESS_LIST: value.hex()}


def merge_lines(base, ours, theirs):
    """Lines are only ever replaced. Changes of the two sides on neighbouring lines are a conflict."""
    lines = [text.splitlines(keepends=True) if text is not None else None for text in (base, ours, theirs)]
    if None in lines or len({len(group) for group in lines}) != 1:
        raise Conflict
    base, ours, theirs = lines
    mine = {index for index in range(len(base)) if ours[index] != base[index]}
    other = {index for index in range(len(base)) if theirs[index] != base[index]}
    if any(abs(one - two) <= 3 for one in mine for two in other):
        raise Conflict
    return b"".join(ours[index] if index in mine else theirs[index] for index in range(len(base)))


def may_merge_text(paths):
    """Outside the owner's folders the built-in policy merges text; inside them the owner's version wins."""
    return all(path.startswith("data/") for path in paths)


class Oracle:
    """`fits` says whether an object of the new master's file system holds all these xattrs together."""

    def __init__(self, base, ours, theirs, fits=lambda xattrs: True):
        ambiguous = set()
        self.fits = fits
        self.base = base
        self.ours = follow_replacements(base, ours, theirs, ambiguous)
        self.theirs = unite_new_objects(base, self.ours, follow_replacements(base, theirs, ours, ambiguous))
        self.trees = (self.base, self.ours, self.theirs)
        self.expected = {}  # number -> (places, attributes)
        self.conflicts = dict.fromkeys(ambiguous, AMBIGUOUS)  # number -> why
        self.rivals = collections.defaultdict(set)  # number -> numbers that want the same place
        numbers = {number for tree in self.trees for number in tree.objects}
        for number in sorted(numbers):
            self.expect(number)
        while self.find_missing_parents() or self.find_collisions():
            pass
        self.find_cycles()

    def expect(self, number):
        base, ours, theirs = (tree.objects.get(number) for tree in self.trees)
        if ours is None and theirs is None:
            return
        if base is None:
            self.expect_new(number, ours or theirs, theirs or ours)
        elif ours is None or theirs is None:
            left = ours or theirs
            # A file that was only touched is not kept when the other side removed it.
            if left.places != base.places or differs_in_more_than_time(base, left):
                self.conflicts.setdefault(number, "deleted by one, changed by the other")
                self.expected[number] = (left.places, None)
        else:
            self.expect_merged(number, base, ours, theirs)

    def expect_new(self, number, ours, theirs):
        """Made by one side, or by both at the same place: then they have to be equal but for the time."""
        attributes = {name: getattr(ours.entry, name) for name in (*PLAIN_ATTRIBUTES, "content", "mtime")}
        attributes["xattrs"] = json.loads(ours.entry.xattrs)
        if ours is not theirs:
            del attributes["mtime"]
            if ours.entry._replace(inode=0, mtime=0) != theirs.entry._replace(inode=0, mtime=0):
                self.conflicts.setdefault(number, "made by both")
        self.expected[number] = (ours.places, attributes)

    def expect_merged(self, number, base, ours, theirs):
        places = (base.places & ours.places & theirs.places) | (ours.places - base.places) | (
            theirs.places - base.places)
        if ours.places != base.places and theirs.places != base.places and ours.places != theirs.places:
            self.conflicts.setdefault(number, "renamed by both")
        try:
            attributes = self.merge_attributes(base, ours, theirs)
        except Conflict:
            self.conflicts.setdefault(number, "changed by both")
            attributes = None
        self.expected[number] = (places, attributes)

    def merge_attributes(self, base, ours, theirs):
        entries = base.entry, ours.entry, theirs.entry
        attributes = {name: three_way(*(getattr(entry, name) for entry in entries)) for name in PLAIN_ATTRIBUTES}
        attributes["xattrs"] = with_mode(merge_keys(*(entry.xattrs for entry in entries)), attributes["mode"])
        if attributes["xattrs"] not in map(json.loads, (ours.entry.xattrs, theirs.entry.xattrs)) and not self.fits(
                attributes["xattrs"]):
            raise Conflict
        if ours.entry.kind != base.entry.kind or theirs.entry.kind != base.entry.kind:
            if differs(base, ours) and differs(base, theirs):
                raise Conflict
        try:
            attributes["content"] = three_way(*(entry.content for entry in entries))
        except Conflict:
            if not may_merge_text(base.paths + ours.paths + theirs.paths):
                raise
            attributes["text"] = merge_lines(base.text, ours.text, theirs.text)
        try:
            attributes["mtime"] = three_way(*(entry.mtime for entry in entries))
        except Conflict:
            pass  # either time is as good
        return attributes

    def find_collisions(self):
        """Two objects at one place. Whether new ones were found."""
        found = False
        holders = collections.defaultdict(list)
        for number, (places, _) in self.expected.items():
            for place in places:
                holders[place].append(number)
        for group in holders.values():
            for number in group if len(group) > 1 else ():
                found |= number not in self.conflicts
                self.conflicts.setdefault(number, "another object has its name")
                self.rivals[number].update(group)
        for number in list(self.conflicts):
            for place in self.places_of_sides(number):
                for rival in holders[place]:
                    found |= rival not in self.conflicts
                    self.conflicts.setdefault(rival, MAY_COLLIDE)
        return found

    def places_of_sides(self, number):
        return set().union(*(side.objects[number].places for side in (self.ours, self.theirs) if number in side.objects))

    def find_missing_parents(self):
        """What lies in a directory that one side deleted keeps it; what lies in a directory that is in
        conflict is in conflict. Whether there were such."""
        found, spread = False, True
        while spread:
            spread = False
            for number, (places, _) in list(self.expected.items()):
                for parent, _ in places:
                    if parent != ROOT and parent not in self.expected:
                        kept = self.ours.objects.get(parent) or self.theirs.objects.get(parent)
                        self.expected[parent] = (kept.places if kept else frozenset(), None)
                        self.conflicts[parent] = AMBIGUOUS if self.may_be_elsewhere(number, parent) else (
                            "deleted by one, with something in it of the other")
                        found = spread = True
                    if parent in self.conflicts and number not in self.conflicts:
                        self.conflicts[number] = IN_CONFLICT
                        found = spread = True
        return found

    def may_be_elsewhere(self, number, directory):
        """Whoever may be another object may be in another place, and who is in conflict where the other side has it."""
        return self.conflicts.get(number) == AMBIGUOUS or (number in self.conflicts and any(
            parent != directory for side in (self.ours, self.theirs) if number in side.objects
            for parent, _ in side.objects[number].places))

    def find_cycles(self):
        caught = [number for number in self.expected if self.is_in_a_cycle(number)]
        for number in caught:
            self.conflicts.setdefault(number, "its directories contain each other")
            self.rivals[number].update(caught)

    def is_in_a_cycle(self, number):
        return any(self.leads_round(parent) for parent, _ in self.expected[number][0])

    def leads_round(self, directory):
        seen = set()
        while directory != ROOT and directory in self.expected:
            if directory in seen:
                return True
            seen.add(directory)
            directory = min(self.expected[directory][0], default=(ROOT, ""))[0]
        return False

    def path_of(self, place):
        """The path of a place in the result; only for objects without conflict, whose parents have none."""
        parent, leaf = place
        if parent == ROOT:
            return leaf
        return os.path.join(self.path_of(min(self.expected[parent][0])), leaf)

    def possible_paths(self, number, below=frozenset()):
        """Where an object in conflict may be: wherever either side has it, in directories as they end up."""
        if number == ROOT:
            return {""}
        if number in below or number not in self.expected:
            return set()
        places = set(self.expected[number][0])
        if number in self.conflicts:
            places |= self.places_of_sides(number)
        return {os.path.join(path, leaf) for parent, leaf in places
                for path in self.possible_paths(parent, below | {number})}

    def all_paths(self, number):
        return {path for tree in self.trees if number in tree.objects for path in tree.objects[number].paths}

    # --- The verdict.

    def judge(self, result, result_texts, reported):
        """Problems found, one sentence each. `reported`: path -> record of every line of the report."""
        problems, explained = [], set()
        for number, (places, attributes) in self.expected.items():
            if number in self.conflicts:
                continue
            paths = {self.path_of(place) for place in places}
            explained |= paths
            for path in sorted(paths):
                problems += self.compare(path, attributes, result.get(path), result_texts.get(path))
            if len({result[path].inode for path in paths if path in result}) > 1:
                problems.append(f"{sorted(paths)}: no longer names of one object")
        for number, why in self.conflicts.items():
            paths = self.all_paths(number)
            explained |= paths | self.possible_paths(number)
            for rival in self.rivals[number]:
                paths |= self.all_paths(rival)
            if self.is_named(paths, reported) or why in (AMBIGUOUS, IN_CONFLICT):
                continue
            if why != MAY_COLLIDE or not self.is_as_expected(number, result, result_texts):
                problems.append(f"{sorted(paths)}: {why}, and the report does not name it")
        problems += self.find_lost_content(result, reported)
        problems += [f"{path}: from nowhere" for path in sorted(set(result) - explained)
                     if not self.is_explained(path, reported)]
        return problems + self.false_alarms(reported)

    def is_as_expected(self, number, result, result_texts):
        attributes = self.expected[number][1] or {}
        paths = self.possible_paths(number)
        return any(path in result and not self.compare(path, attributes, result[path], result_texts.get(path))
                   for path in paths)

    def is_named(self, paths, reported):
        return any(path in reported for path in paths)

    def is_explained(self, path, reported):
        """Reported itself, a losing version beside a winner, or carried along by a directory in conflict."""
        beside = {entry.get("saved_beside") for entry in reported.values()}
        conflicting = {path for number in self.conflicts for path in self.all_paths(number)}
        while path:
            if path in reported or os.path.basename(path) in beside:
                return True
            if path in conflicting or os.path.splitext(path)[0] in conflicting:
                return True
            path = os.path.dirname(path)
        return False

    @staticmethod
    def compare(path, attributes, entry, text):
        if entry is None:
            return [f"{path}: missing"]
        problems = []
        for name, value in attributes.items():
            found = {"text": text, "xattrs": json.loads(entry.xattrs)}.get(name, getattr(entry, name, None))
            if found != value:
                problems.append(f"{path}: {name} is {str(found)[:200]}, expected {str(value)[:200]}")
        return problems

    def find_lost_content(self, result, reported):
        """The owner's bytes are somewhere, or the report says what became of them."""
        present = {entry.content for entry in result.values()}
        problems = []
        for number in self.conflicts:
            ours, base = self.ours.objects.get(number), self.base.objects.get(number)
            if ours is None or ours.entry.kind != "file" or (base and base.entry.content == ours.entry.content):
                continue
            if ours.entry.content not in present and not self.is_named(self.all_paths(number), reported):
                problems.append(f"{ours.paths}: the owner's content is lost")
        return problems

    def false_alarms(self, reported):
        """A warning about an object that is in no conflict costs a person's time. A record tells all names
        of its object, also those of the one that the object replaced."""
        conflicting = {path for number in self.conflicts for path in self.all_paths(number)}
        needed = {id(record) for path, record in reported.items() if path in conflicting}
        known = {path for tree in self.trees for path in tree.names}
        return [f"{path}: a needless {record['severity']}: {record}" for path, record in reported.items()
                if record.get("severity") in ("warn", "error", "block") and path in known
                and id(record) not in needed]
