#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""commit, flatten and reparent: the guest sees the same before and after, as qemu-img judges it on raw exports
and as a copy in memory says. The seed of the random content is printed and can be given in MICA_SEED."""

import json
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import harness  # noqa: E402
from harness import Server, mica, run  # noqa: E402

KIB, MIB = 1 << 10, 1 << 20
SEED = int(os.environ.get("MICA_SEED", "20240607"))


def scribble(content, seed, pieces=40):
    """Random runs of data and of zeroes into `content`."""
    generator = random.Random(SEED * 1000 + seed)
    for _ in range(pieces):
        start = generator.randrange(len(content))
        length = min(generator.randrange(1, 150000), len(content) - start)
        content[start:start + length] = generator.randbytes(length) if generator.random() < 0.7 else bytes(length)


class ChainVerbs(harness.TestCase):
    def json(self, *arguments, status=0):
        return json.loads(mica(*arguments, "--json", status=status).stdout)

    def refused(self, *arguments, status, says):
        message = mica(*arguments, status=status).stderr
        for word in says:
            self.assertIn(word, message, arguments)

    def raw(self, name, content):
        return harness.make_raw(self.path(name), len(content), bytes(content))

    def master(self, name, content):
        path = self.raw(name, content)
        mica("seal", path)
        return path

    def delta(self, parent, name, before, after, *options):
        """A delta over `parent`, which reads `before`, that makes it read `after`; written over NBD."""
        path = self.path(name)
        mica("create", *options, "-b", parent, path, str(len(after)))
        before = before + bytes(len(after) - len(before))
        with Server(self.directory, f"x={path}") as server:
            handle = server.connect("x")
            for start in range(0, len(after), 64 * KIB):
                new = bytes(after[start:start + 64 * KIB])
                if new == before[start:start + 64 * KIB]:
                    continue
                if any(new):
                    handle.pwrite(new, start)
                else:
                    handle.zero(len(new), start)
        return path

    def reads(self, image, content):
        """qemu-img says that what the image exports as raw is `content`."""
        mica("check", "--data", image)
        expected = self.raw("expected.raw", content)
        export = self.path("export.raw")
        mica("convert", "--force", "-O", "raw", image, export)
        run("qemu-img", "compare", "-f", "raw", "-F", "raw", expected, export)
        self.assertEqual(os.path.getsize(export), len(content))

    def story(self, size=6 * MIB + 12345, child_size=None):
        """A master, its content, a delta over it and the delta's content."""
        base = bytearray(size)
        scribble(base, 1)
        master = self.master("master.raw", base)
        seen = bytearray(bytes(base) + bytes((child_size or size) - size))
        scribble(seen, 2, pieces=12)
        return master, base, self.delta(master, "vm.mica", bytes(base), seen), seen


class Flatten(ChainVerbs):
    def test_stands_alone_afterwards(self):
        for child_size in (None, 9 * MIB + 777):
            with self.subTest(child_size=child_size):
                self.setUp()
                master, _, delta, seen = self.story(child_size=child_size)
                expected = self.json("flatten", "-n", delta)
                self.reads(delta, seen)
                told = self.json("flatten", delta)
                self.assertEqual(told["copied-bytes"], expected["copied-bytes"])
                self.assertIsNone(told["parent"])
                os.unlink(master)
                self.reads(delta, seen)
                self.assertNotIn("parent", self.json("info", delta))
                self.refused("flatten", delta, status=1, says=("stands alone",))

    def test_zeroes_of_the_parent_take_no_space(self):
        master = self.master("zero.raw", bytearray(32 * MIB))
        delta = self.clone(master)
        self.assertEqual(self.json("flatten", delta)["copied-bytes"], 0)
        self.assertLess(self.json("info", delta)["file-size"], 4 * MIB)

    def test_in_use_is_refused(self):
        _, _, delta, _ = self.story()
        with Server(self.directory, f"x={delta}"):
            self.refused("flatten", delta, status=5, says=("vm.mica",))


class Reparent(ChainVerbs):
    def other_master(self, base, size, seed=5):
        other = bytearray(bytes(base[:size]) + bytes(max(0, size - len(base))))
        scribble(other, seed, pieces=6)
        return self.master(f"other{size}.raw", other), other

    def test_to_parents_of_any_size(self):
        _, base, delta, seen = self.story()
        for size in (len(base), 3 * MIB + 100, 11 * MIB, len(base) - 1, len(base) + 512):
            with self.subTest(size=size):
                other, _ = self.other_master(base, size)
                expected = self.json("reparent", "-n", "-b", other, delta)
                told = self.json("reparent", "-b", other, delta)
                self.assertEqual(told["copied-bytes"], expected["copied-bytes"])
                self.assertEqual(told["parent"], os.path.basename(other))
                self.reads(delta, seen)
                self.assertEqual(self.json("info", delta)["parent"]["path"], os.path.basename(other))

    def test_a_child_larger_than_both(self):
        _, base, delta, seen = self.story(size=2 * MIB, child_size=5 * MIB + 1)
        for size in (2 * MIB, 4 * MIB, 8 * MIB):
            other, _ = self.other_master(base, size)
            mica("reparent", "-b", other, delta)
            self.reads(delta, seen)

    def test_only_what_differs_is_copied_and_what_is_equal_dropped(self):
        base = bytearray(random.Random(SEED).randbytes(8 * MIB))
        master = self.master("master.raw", base)
        patched = bytearray(base)
        patched[MIB:MIB + 64 * KIB] = random.Random(SEED + 1).randbytes(64 * KIB)
        patched[4 * MIB:4 * MIB + 64 * KIB] = random.Random(SEED + 2).randbytes(64 * KIB)
        # The guest has half of the patch itself.
        seen = bytearray(base)
        seen[MIB:MIB + 64 * KIB] = patched[MIB:MIB + 64 * KIB]
        delta = self.delta(master, "vm.mica", bytes(base), seen)
        other = self.master("patched.raw", patched)
        told = self.json("reparent", "-b", other, delta)
        self.assertEqual((told["copied-bytes"], told["dropped-bytes"]), (64 * KIB, 64 * KIB))
        self.reads(delta, seen)
        # And back: what was copied up is what the old master has.
        told = self.json("reparent", "-b", master, delta)
        self.assertEqual((told["copied-bytes"], told["dropped-bytes"]), (64 * KIB, 64 * KIB))
        self.reads(delta, seen)

    def test_onto_a_layer_of_the_same_chain(self):
        master, base, middle, seen = self.story()
        mica("seal", middle)
        top = bytearray(seen)
        scribble(top, 9, pieces=5)
        delta = self.delta(middle, "top.mica", bytes(seen), top)
        mica("reparent", "-b", master, delta)
        os.unlink(middle)
        self.reads(delta, top)

    def test_an_image_that_stood_alone(self):
        _, base, delta, seen = self.story()
        mica("flatten", delta)
        other, _ = self.other_master(base, len(base))
        before = self.json("info", delta)["actual-size"]
        self.assertGreater(self.json("reparent", "-b", other, delta)["dropped-bytes"], MIB)
        self.reads(delta, seen)
        self.assertLess(self.json("info", delta)["file-size"], before * 2)

    def test_refusals(self):
        master, base, delta, seen = self.story()
        other, _ = self.other_master(base, len(base))
        loose = self.raw("loose.raw", base)
        self.refused("reparent", "-b", loose, delta, status=1, says=("seal",))
        self.refused("reparent", "-b", delta, delta, status=2, says=("own parent",))
        self.refused("reparent", "-b", self.path("none"), delta, status=1, says=("none",))
        mica("seal", delta)
        self.refused("reparent", "-b", other, delta, status=1, says=("sealed",))
        top = self.delta(delta, "top.mica", bytes(seen), seen)
        os.rename(master, self.path("moved.raw"))
        self.refused("reparent", "-b", other, top, status=1, says=("master.raw",))

    def test_a_damaged_old_parent(self):
        base = bytearray(random.Random(SEED).randbytes(MIB))
        master = self.path("master.mica")
        mica("convert", "-O", "mica", self.raw("base.raw", base), master)
        mica("seal", master)
        delta = self.clone(master)
        other = self.master("zero.raw", bytearray(MIB))
        start = next(entry["offset"] for entry in self.json("map", master) if entry["data"])
        with open(master, "r+b") as file:
            file.seek(start + 5)
            file.write(b"damage")
        for verb in (("reparent", "-b", other), ("flatten",)):
            self.refused(*verb, delta, status=1, says=("master.mica", "checksum"))
        self.assertEqual(self.json("info", delta)["parent"]["path"], "master.mica")
        with open(master, "r+b") as file:
            file.seek(start + 5)
            file.write(base[5:11])
        self.reads(delta, base)


class Commit(ChainVerbs):
    def unsealed(self, parent, before, seed, name="vm.mica"):
        after = bytearray(before)
        scribble(after, seed, pieces=15)
        return self.delta(parent, name, bytes(before), after, "--unsealed"), after

    def test_into_a_raw_parent(self):
        base = bytearray(5 * MIB + 4097)
        scribble(base, 1)
        parent = self.raw("parent.raw", base)
        delta, seen = self.unsealed(parent, base, 2)
        mica("commit", "-n", delta)
        self.reads(delta, seen)
        mica("commit", delta)
        self.reads(delta, seen)
        self.reads(parent, seen)
        self.assertEqual([entry["depth"] for entry in self.json("map", delta)], [1])
        self.assertEqual(self.json("commit", delta)["copied-bytes"], 0)

    def test_into_a_mica_parent_and_blocks_of_its_own_parent_are_dropped(self):
        master, base, middle, middle_seen = self.story()
        delta, seen = self.unsealed(middle, middle_seen, 3, name="top.mica")
        # The guest puts back what the master has.
        with Server(self.directory, f"x={delta}") as server:
            server.connect("x").pwrite(bytes(base[MIB:2 * MIB]), MIB)
        seen[MIB:2 * MIB] = base[MIB:2 * MIB]
        mica("commit", delta)
        self.reads(middle, seen)
        self.reads(delta, seen)
        held = [entry for entry in self.json("map", middle)
                if entry["depth"] == 0 and entry["start"] < 2 * MIB and entry["start"] + entry["length"] > MIB]
        self.assertEqual(held, [])
        mica("compare", middle, delta)
        self.assertTrue(os.path.exists(master))

    def test_into_a_larger_parent(self):
        base = bytearray(2 * MIB)
        scribble(base, 1)
        small = self.raw("small.raw", base)
        delta, seen = self.unsealed(small, base, 4)
        with open(small, "r+b") as file:
            file.truncate(3 * MIB)
        mica("commit", delta)
        self.reads(delta, seen)
        with open(small, "rb") as file:
            self.assertEqual(file.read(), bytes(seen) + bytes(MIB))

    def test_refusals(self):
        _, _, delta, seen = self.story()
        self.refused("commit", delta, status=1, says=("sealed", "flatten"))
        alone = self.path("alone.mica")
        mica("create", alone, "1M")
        self.refused("commit", alone, status=1, says=("stands alone",))
        parent = self.raw("parent.raw", seen)
        child = self.path("child.mica")
        self.refused("create", "-b", parent, child, status=1, says=("seal",))
        mica("create", "--unsealed", "-b", parent, child, str(len(seen) + MIB))
        self.refused("commit", child, status=1, says=("resize", "parent.raw"))
        child = self.path("child2.mica")
        mica("create", "--unsealed", "-b", parent, child)
        with Server(self.directory, f"x={child}"):
            self.refused("commit", child, status=5, says=("child2.mica",))
        mica("seal", parent)
        self.refused("commit", child, status=1, says=("sealed", "parent.raw"))


if __name__ == "__main__":
    print(f"MICA_SEED={SEED}")
    harness.main()
