# SPDX-License-Identifier: Apache-2.0
"""The merge table of docs/rebase.md as a way to count: which of its rows the records of a report are cases of.
Rows about packages and accounts need a Debian disk; the tests that make one look at those."""

import collections
import json


def says(*texts):
    return lambda record, ours, theirs: any(text in record.get("detail", "") for text in texts)


def both_changed_content(record, ours, theirs):
    return "content" in ours & theirs


ROWS = {
    "only the VM changed it": lambda record, ours, theirs: ours and not theirs and record["action"] == "carried",
    "both changed it the same way": lambda record, ours, theirs: record["action"] == "equal",
    "both changed its content, merged":
        lambda record, ours, theirs: both_changed_content(record, ours, theirs) and record["action"] == "merged",
    "both changed its content, the VM's taken":
        lambda record, ours, theirs: both_changed_content(record, ours, theirs) and record["action"] == "ours",
    "one changed its content, the other its attributes or names":
        lambda record, ours, theirs: ours and theirs and ("content" in ours) != ("content" in theirs)
        and "deleted" not in ours | theirs,
    "both changed its attributes": says("both changed mode", "both changed owner", "both changed group",
                                        "both changed flags", "both changed project", "both changed user.",
                                        "both changed trusted.", "both changed security.", "both changed system."),
    "deleted by the VM, changed by the patch": says("removed by the VM, changed by the new master"),
    "changed by the VM, deleted by the patch": says("changed by the VM, removed by the new master"),
    "other objects under one name": says("different objects under this name"),
    "objects of other kinds under one name": says("objects of different kinds here"),
    "a directory kept for what the other put there": says("the directory stays, because it holds"),
    "changes follow a moved directory": says("have followed", "has followed the move"),
    "renamed differently": says("renamed differently by both"),
    "directories moved into each other": says("each into what the other moved"),
    "each removed a name of the other": says("each side removed the other's name"),
    "deleted with a directory that the VM moved": says("kept because the VM moved its directory"),
}


def count_rows(report):
    """How many records of a report file are cases of each row."""
    counts = collections.Counter()
    with open(report, encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            if record.get("topic") != "object":
                continue
            ours, theirs = set(record["ours"]), set(record["theirs"])
            counts.update(name for name, is_case in ROWS.items() if is_case(record, ours, theirs))
    return counts


def describe(counts):
    return "\n".join(f"{counts[name]:9,}  {name}" for name in ROWS)
