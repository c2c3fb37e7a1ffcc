#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""create, clone, seal, info, map, check, compare and convert, held against qemu-img on the same content, and
what they say and return when something is wrong. The seed of the random content is printed and can be given
in MICA_SEED."""

import json
import os
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import harness  # noqa: E402
from harness import MICA, Server, mica, run  # noqa: E402

KIB, MIB = 1 << 10, 1 << 20
SEED = int(os.environ.get("MICA_SEED", "20240607"))


def scribbled(size, seed, pieces=40):
    """Bytes with holes, runs of zeroes and unaligned islands of data."""
    generator, content = random.Random(SEED * 1000 + seed), bytearray(size)
    for _ in range(pieces):
        start = generator.randrange(size)
        length = min(generator.randrange(1, 200000), size - start)
        content[start:start + length] = generator.randbytes(length) if generator.random() < 0.8 else bytes(length)
    return bytes(content)


def read(path):
    with open(path, "rb") as file:
        return file.read()


class BlockVerbs(harness.TestCase):
    def raw(self, name, content):
        return harness.make_raw(self.path(name), len(content), content)

    def json(self, *arguments, status=0):
        return json.loads(mica(*arguments, "--json", status=status).stdout)

    def content(self, image):
        """What the guest sees, by way of a conversion to raw."""
        out = self.path("content.raw")
        mica("convert", "--force", "-O", "raw", image, out)
        return read(out)

    def refused(self, *arguments, status, says):
        message = mica(*arguments, status=status).stderr
        for word in says:
            self.assertIn(word, message, arguments)
        self.assertTrue(message.startswith("mica: "), message)
        return message

    def names(self):
        return sorted(os.listdir(self.directory))


class Measure(BlockVerbs):
    def test_tells_what_a_conversion_takes(self):
        patterns = {"empty": bytes(48 * MIB), "scattered": scribbled(64 * MIB, 30, pieces=300),
                    "full": random.Random(SEED).randbytes(40 * MIB), "odd": scribbled(9 * MIB + 777, 31)}
        for name, content in patterns.items():
            with self.subTest(name):
                source = self.raw(f"{name}.raw", content)
                sizes = self.json("measure", source)
                mica("convert", "-O", "mica", source, self.path(f"{name}.mica"))
                self.bounds(self.path(f"{name}.mica"), sizes["required"])
                self.assertGreater(sizes["fully-allocated"], len(content))
                raw = self.json("measure", "-O", "raw", source)
                data = sum(1 for at in range(0, len(content), 4096) if any(content[at:at + 4096]))
                self.assertLessEqual(raw["required"], 4096 * data)
                self.assertGreater(raw["required"], 4096 * (data - 1))
                self.assertEqual(raw["fully-allocated"], len(content))

    def bounds(self, image, required):
        actual = self.json("info", image)["file-size"]
        self.assertLessEqual(actual, required)
        self.assertLessEqual(required, actual * 1.02 + 2.5 * MIB)

    def test_with_a_parent_only_what_differs_counts(self):
        content = bytearray(scribbled(32 * MIB, 32))
        parent = self.raw("parent.raw", content)
        mica("seal", parent)
        for at in range(0, 32 * MIB, MIB):
            content[at:at + 8192] = bytes(8192) if at % (2 * MIB) else b"y" * 8192
        source = self.raw("source.raw", content)
        sizes = self.json("measure", "-b", parent, "-F", "raw", source)
        self.assertLess(sizes["required"], 3 * MIB)
        mica("convert", "-O", "mica", "-b", parent, "-F", "raw", source, self.path("delta.mica"))
        self.bounds(self.path("delta.mica"), sizes["required"])

    def test_of_a_new_image_and_what_is_wrong(self):
        sizes = self.json("measure", "--size", "1T")
        self.assertLess(sizes["required"], 4 * MIB)
        self.assertGreater(sizes["fully-allocated"], 1 << 40)
        self.assertLess(sizes["fully-allocated"], 1.01 * (1 << 40))
        self.refused("measure", status=2, says=["--size"])
        self.refused("measure", "--size", "1M", self.raw("a.raw", b"x"), status=2, says=["either"])
        self.refused("measure", self.path("none.raw"), status=1, says=["none.raw"])


class Convert(BlockVerbs):
    def test_round_trips_of_any_size(self):
        for number, size in enumerate((1, 511, 512, 4095, 4096, 4097, MIB, 7 * MIB + 12345, 20 * MIB)):
            with self.subTest(size=size):
                content = scribbled(size, number)
                source = self.raw("source.raw", content)
                mica("convert", "--force", "-O", "mica", source, self.path("image.mica"))
                mica("check", "--data", self.path("image.mica"))
                self.assertEqual(self.content(self.path("image.mica")), content)
                mica("compare", source, self.path("image.mica"))
                run("qemu-img", "compare", "-f", "raw", "-F", "raw", source, self.path("content.raw"))

    def test_every_io_engine(self):
        content = scribbled(9 * MIB, 20)
        source = self.raw("source.raw", content)
        for engine in ("uring", "aio", "pread"):
            with self.subTest(engine):
                image = self.path(f"{engine}.mica")
                mica("convert", f"--io={engine}", "-O", "mica", source, image)
                mica("compare", f"--io={engine}", source, image)

    def test_zeroes_are_not_stored(self):
        source = self.raw("source.raw", bytes(64 * MIB))
        told = self.json("convert", "-O", "raw", source, self.path("copy.raw"))
        self.assertEqual((told["written-bytes"], told["virtual-size"]), (0, 64 * MIB))
        self.assertLess(self.json("info", self.path("copy.raw"))["actual-size"], MIB)

    def test_with_a_parent_only_differences_are_stored(self):
        base = scribbled(16 * MIB, 30)
        master = self.raw("master.raw", base)
        mica("seal", master)
        changed = bytearray(base)
        changed[5 * MIB:5 * MIB + 10000] = random.Random(SEED).randbytes(10000)
        changed[9 * MIB:10 * MIB] = bytes(MIB)
        source = self.raw("source.raw", bytes(changed))
        expected = self.json("convert", "-n", "-O", "mica", "-b", master, source, self.path("vm.mica"))
        self.assertFalse(os.path.exists(self.path("vm.mica")))
        told = self.json("convert", "-O", "mica", "-b", master, source, self.path("vm.mica"))
        self.assertEqual(told["written-bytes"], expected["written-bytes"])
        self.assertLessEqual(told["written-bytes"], 12288 + 4096)
        self.assertLessEqual(told["zeroed-bytes"], MIB)
        self.assertEqual(self.content(self.path("vm.mica")), bytes(changed))
        info = self.json("info", self.path("vm.mica"))
        self.assertEqual((info["parent"]["path"], info["parent"]["format"]), ("master.raw", "raw"))
        mica("check", "--data", self.path("vm.mica"))

    def test_a_longer_and_a_shorter_disk_than_the_parent(self):
        base = scribbled(4 * MIB, 31)
        master = self.raw("master.raw", base)
        mica("seal", master)
        for name, content in (("longer", base + scribbled(MIB + 100, 32)), ("shorter", base[:2 * MIB - 100])):
            with self.subTest(name):
                source = self.raw(f"{name}.raw", content)
                mica("convert", "-O", "mica", "-b", master, source, self.path(f"{name}.mica"))
                self.assertEqual(self.content(self.path(f"{name}.mica")), content)

    def test_a_destination_that_exists(self):
        source = self.raw("source.raw", scribbled(MIB, 33))
        target = self.raw("target.raw", b"precious")
        self.refused("convert", "-O", "raw", source, target, status=1, says=["target.raw", "try another name"])
        self.assertEqual(read(target), b"precious")
        mica("convert", "-O", "raw", "--force", source, target)
        self.assertEqual(read(target), read(source))
        mica("seal", target)
        self.refused("convert", "-O", "raw", "--force", source, target, status=1, says=["target.raw", "sealed"])
        used = self.path("used.mica")
        mica("clone", target, used)
        with Server(self.directory, used):
            self.refused("convert", "-O", "mica", "--force", source, used, status=5, says=["used.mica"])
        self.assertEqual(self.names(), ["source.raw", "target.raw", "target.raw.seal", "used.mica"])

    def test_a_signal_leaves_nothing_behind(self):
        with open(self.path("source.raw"), "wb") as file:
            for _ in range(400):
                file.write(os.urandom(MIB))
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number):
                process = subprocess.Popen([MICA, "convert", "-O", "mica", self.path("source.raw"), self.path("x.mica")],
                                           stderr=subprocess.DEVNULL)
                while len(self.names()) == 1 and process.poll() is None:
                    time.sleep(0.001)
                self.assertNotIn("x.mica", self.names(), "the name appears before the image is complete")
                process.send_signal(number)
                self.assertEqual(process.wait(), -number)
                self.assertEqual(self.names(), ["source.raw"])

    def test_progress(self):
        source = self.raw("source.raw", os.urandom(64 * MIB))
        shown = mica("convert", "-p", "-O", "mica", source, self.path("shown.mica")).stderr
        self.assertIn("convert: 64 MiB of 64 MiB (100.0 %)", shown)
        quiet = mica("convert", "-q", "-O", "mica", source, self.path("quiet.mica"))
        self.assertEqual((quiet.stdout, quiet.stderr), ("", ""))
        process = subprocess.Popen([MICA, "convert", "-q", "-O", "mica", source, self.path("asked.mica")],
                                   stderr=subprocess.PIPE, text=True)
        while "asked.mica" not in " ".join(self.names()) and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal.SIGUSR1)
        message = process.communicate()[1]
        self.assertEqual(process.returncode, 0)
        self.assertRegex(message, r"^mica: convert: .* of 64 MiB \(")
        self.assertEqual(message.count("\n"), 1)

    def test_errors(self):
        source = self.raw("source.raw", scribbled(MIB, 34))
        out = self.path("out.mica")
        self.refused("convert", "-O", "mica", self.path("nothing"), out, status=1, says=["nothing", "No such file"])
        self.refused("convert", "-O", "qcow3", source, out, status=1, says=["qcow3", "known are"])
        self.refused("convert", source, out, status=2, says=["usage: mica convert"])
        self.refused("convert", "-O", "mica", "-b", source, source, out, status=1, says=["seal"])
        self.refused("convert", "-O", "mica", "-o", "nonsense=1", source, out, status=2, says=["nonsense"])
        self.refused("convert", "-O", "raw", "-b", source, source, out, status=1, says=["seal"])
        mica("seal", source)
        self.refused("convert", "-O", "raw", "-b", source, source, out, status=1, says=["out.mica", "parent"])
        self.refused("convert", "-O", "mica", source, self.path("no/such/dir.mica"), status=1, says=["no/such/dir.mica"])
        self.assertEqual(self.names(), ["source.raw", "source.raw.seal"])


class Compare(BlockVerbs):
    def both(self, *arguments, expected):
        """qemu-img compare and mica compare must agree on two raw images."""
        theirs = subprocess.run(["qemu-img", "compare", "-f", "raw", "-F", "raw", *arguments], check=False,
                                capture_output=True, text=True)
        ours = mica("compare", "-f", "raw", "-F", "raw", *arguments, status=expected)
        self.assertEqual(theirs.returncode, expected, theirs.stderr)
        return ours

    def test_agrees_with_qemu_img(self):
        content = bytearray(scribbled(10 * MIB, 40))
        one = self.raw("one.raw", bytes(content))
        self.both(one, self.raw("same.raw", bytes(content)), expected=0)
        for offset in (0, 1, 4 * MIB - 1, 10 * MIB - 1):
            content[offset] ^= 1
            other = self.raw("other.raw", bytes(content))
            said = self.both(one, other, expected=1)
            self.assertEqual(said.stdout, f"Content mismatch at offset {offset}!\n")
            self.assertEqual(self.json("compare", one, other, status=1)["first-difference"], offset)
            content[offset] ^= 1

    def test_different_sizes(self):
        one = self.raw("one.raw", b"x" * 4096)
        longer = self.raw("longer.raw", b"x" * 4096 + bytes(MIB))
        said = self.both(one, longer, expected=0)
        self.assertIn("size mismatch", said.stderr)
        self.both("-s", one, longer, expected=1)
        tail = self.raw("tail.raw", b"x" * 4096 + bytes(MIB - 512) + b"y" * 512)
        self.both(one, tail, expected=1)
        self.assertEqual(self.json("compare", one, tail, status=1)["first-difference"], 4096 + MIB - 512)

    def test_errors(self):
        one = self.raw("one.raw", b"x" * 4096)
        self.both(one, self.path("nothing"), expected=2)
        self.refused("compare", one, status=2, says=["usage: mica compare"])
        self.assertEqual(mica("compare", "-q", one, one).stdout, "")

    def test_damaged_data_is_not_called_different(self):
        master = self.raw("master.raw", scribbled(4 * MIB, 41, 200))
        copy = self.raw("copy.raw", read(master))
        mica("convert", "-O", "mica", master, self.path("image.mica"))
        at = next(entry for entry in self.json("map", self.path("image.mica")) if entry["data"])
        with open(self.path("image.mica"), "r+b") as file:
            file.seek(at["offset"])
            file.write(b"damaged")
        message = mica("compare", copy, self.path("image.mica"), status=4).stderr
        self.assertIn("image.mica", message)
        report = self.json("check", "--data", self.path("image.mica"), status=2)
        self.assertGreaterEqual(report["corruptions"], 1)
        self.assertEqual(report["findings"][0]["start"], at["start"])
        repaired = self.json("check", "--data", "-r", "all", "-p", self.path("image.mica"))
        self.assertEqual(repaired["lost"], [{"start": at["start"], "length": 4096, "reads": "zero"}])
        self.assertIn("no errors were found", mica("check", "--data", self.path("image.mica")).stdout)
        mica("compare", copy, self.path("image.mica"), status=1)


class Images(BlockVerbs):
    def test_create(self):
        told = self.json("create", self.path("one.mica"), "3G")
        self.assertEqual((told["format"], told["virtual-size"]), ("mica", 3 << 30))
        self.assertEqual(self.json("info", self.path("one.mica"))["virtual-size"], 3 << 30)
        mica("create", "-f", "raw", self.path("two.raw"), "5M")
        self.assertEqual(json.loads(run("qemu-img", "info", "--output=json", self.path("two.raw")).stdout)
                         ["virtual-size"], 5 * MIB)
        mica("create", "-n", self.path("three.mica"), "1M")
        self.refused("create", self.path("three.mica"), status=2, says=["three.mica", "expected a SIZE", "usage:"])
        self.refused("create", self.path("three.mica"), "1.5G", status=2, says=["1.5G"])
        self.refused("create", self.path("three.mica"), "99999999T", status=2, says=["64 bits"])
        self.refused("create", "-f", "raw", self.path("three.raw"), "-o", "a", "1M", status=2, says=["KEY=VALUE"])
        self.refused("create", self.path("one.mica"), "1M", status=1, says=["one.mica"])
        self.assertEqual(self.names(), ["one.mica", "two.raw"])

    def test_clone_and_info(self):
        master = self.raw("master.raw", scribbled(2 * MIB, 50))
        self.refused("clone", master, self.path("a.mica"), status=1, says=["master.raw", "mica seal"])
        identity = self.json("seal", master)["identity"]
        os.mkdir(self.path("vms"))
        mica("clone", master, self.path("vms/a.mica"), self.path("vms/b.mica"))
        info = self.json("info", self.path("vms/a.mica"))
        self.assertEqual(info["parent"]["path"], "../master.raw")
        self.assertEqual(info["parent"]["identity"], identity)
        self.assertEqual(info["virtual-size"], 2 * MIB)
        self.assertIn(identity["digest"], mica("info", master).stdout)
        chain = self.json("info", "--backing-chain", self.path("vms/a.mica"))
        self.assertEqual([(layer["format"], layer["sealed"]) for layer in chain], [("mica", False), ("raw", True)])
        self.refused("clone", master, self.path("c.mica"), self.path("vms/a.mica"), status=1, says=["vms/a.mica"])
        self.assertNotIn("c.mica", self.names())
        self.refused("clone", master, self.path("c.mica"), self.path("c.mica"), status=2, says=["twice"])

    def test_a_pair_moves_together(self):
        """The parent is recorded relative to the delta's real directory, and found through symbolic links."""
        os.makedirs(self.path("real/vms/deep"))
        os.symlink("real/vms/deep", self.path("link"))
        content = scribbled(MIB, 51)
        master = harness.make_raw(self.path("real/master.raw"), MIB, content)
        mica("seal", master)
        mica("clone", master, self.path("link/a.mica"))
        self.assertEqual(self.json("info", self.path("link/a.mica"))["parent"]["path"], "../../master.raw")
        self.assertEqual(self.content(self.path("link/a.mica")), content)
        os.rename(self.path("real"), self.path("moved"))
        self.assertEqual(self.content(self.path("moved/vms/deep/a.mica")), content)

    def test_a_chain_whose_parent_is_gone_or_another(self):
        master = self.raw("master.raw", scribbled(MIB, 52))
        mica("seal", master)
        mica("clone", master, self.path("a.mica"))
        os.rename(master, self.path("away.raw"))
        self.assertEqual(self.json("info", self.path("a.mica"))["parent"]["path"], "master.raw")
        gone = mica("info", "--backing-chain", self.path("a.mica"), status=1)
        self.assertIn("file format: mica", gone.stdout)
        self.assertIn("master.raw", gone.stderr)
        self.raw("master.raw", scribbled(MIB, 53))
        os.unlink(self.path("master.raw.seal"))
        mica("seal", self.path("master.raw"))
        for verb in (["info", "--backing-chain"], ["map"], ["convert", "-O", "raw", "-n"]):
            arguments = [*verb, self.path("a.mica"), *([self.path("x")] if verb[0] == "convert" else [])]
            self.refused(*arguments, status=6, says=["master.raw", "a.mica", "expected", "found"])

    def test_seal(self):
        image = self.path("image.mica")
        mica("convert", "-O", "mica", self.raw("source.raw", scribbled(MIB, 54)), image)
        self.assertIs(self.json("seal", "-n", image)["sealed"], False)
        self.assertIs(self.json("info", image)["sealed"], False)
        mica("seal", image)
        self.assertIs(self.json("info", image)["sealed"], True)
        mica("check", "--data", image)
        with Server(self.directory, image) as server:
            self.assertTrue(server.connect("image").is_read_only())
        self.refused("seal", self.path("nothing"), status=1, says=["nothing"])
        vm = self.clone(image)
        with Server(self.directory, vm):
            self.refused("seal", vm, status=5, says=["vm.mica"])
            self.refused("seal", "-n", vm, status=5, says=["vm.mica"])

    def test_map(self):
        content = bytearray(8 * MIB)
        content[MIB:MIB + 64 * KIB] = os.urandom(64 * KIB)
        content[5 * MIB:5 * MIB + 4 * KIB] = os.urandom(4 * KIB)
        master = self.raw("master.raw", bytes(content))
        mica("seal", master)
        vm = self.clone(master)
        with Server(self.directory, vm) as server:
            handle = server.connect("vm")
            handle.pwrite(b"v" * 4096, 2 * MIB)
            handle.flush()
            self.assertIs(self.json("info", vm)["in-use"], True)
            self.assertIn("in use", mica("map", vm).stderr)
        entries = self.json("map", vm)
        self.assertEqual(sum(entry["length"] for entry in entries), 8 * MIB)
        position = 0
        for entry in entries:
            self.assertEqual(entry["start"], position)
            position += entry["length"]
        data = [(entry["start"], entry["length"], entry["depth"]) for entry in entries if entry["data"]]
        self.assertEqual(data, [(MIB, 64 * KIB, 1), (2 * MIB, 4096, 0), (5 * MIB, 4096, 1)])
        for entry in entries:
            if entry["data"]:
                file = master if entry["depth"] == 1 else vm
                expected = b"v" * 4096 if entry["depth"] == 0 else content[entry["start"]:][:entry["length"]]
                self.assertEqual(read(file)[entry["offset"]:][:entry["length"]], expected)
        self.assertEqual(mica("map", vm).stdout.count("\n"), 4)

    def test_quota(self):
        master = self.sealed_master(16 * MIB)
        vm = self.clone(master)
        self.assertEqual(self.json("info", vm)["quota"], {"hard": 10 << 30, "soft": 0})
        mica("clone", "-o", "quota=none", master, self.path("free.mica"))
        self.assertEqual(self.json("info", self.path("free.mica"))["quota"]["hard"], 0)
        mica("create", self.path("own.mica"), "1G")
        self.assertEqual(self.json("info", self.path("own.mica"))["quota"]["hard"], 0, "no delta")
        told = self.json("quota", "--hard", "20M", "--soft", "10M", vm)
        self.assertEqual((told["hard"], told["soft"]), (20 * MIB, 10 * MIB))
        self.assertIn("hard: 20 MiB", mica("quota", vm).stdout)
        self.assertEqual(self.json("quota", "-n", "--hard", "none", vm)["hard"], 0)
        self.assertEqual(self.json("info", vm)["quota"], {"hard": 20 * MIB, "soft": 10 * MIB})
        self.refused("quota", "--soft", "21M", vm, status=2, says=["vm.mica", "soft"])
        self.refused("quota", "--hard", "0", vm, status=2, says=["--hard", "none"])
        self.refused("quota", master, status=1, says=["master.raw", "raw"])

    def test_compact_and_space(self):
        master = self.sealed_master(64 * MIB, b"m" * MIB)
        vm = self.clone(master)
        with Server(self.directory, vm) as server:
            handle = server.connect("vm")
            for at in range(0, 32 * MIB, MIB):
                handle.pwrite(b"x" * MIB, at)
            for at in range(0, 32 * MIB, 128 << 10):
                handle.trim(64 << 10, at)
        before = self.json("info", vm)
        space = before["space"]
        self.assertEqual((space["own"], space["snapshots"], space["shared"]), (16 * MIB, 0, 0))
        self.assertGreater(space["reclaimable"], 12 * MIB)
        mica("convert", "-O", "raw", vm, self.path("before.raw"))
        told = self.json("compact", vm)
        self.assertGreater(told["moved-bytes"], 6 * MIB)
        self.assertLess(told["file-size"], 20 * MIB)
        after = self.json("info", vm)
        self.assertLess(after["actual-size"], before["actual-size"] - 12 * MIB)
        self.assertLess(after["space"]["reclaimable"], 2 * MIB)
        mica("compare", vm, self.path("before.raw"))
        mica("check", "--data", vm)
        self.assertIn("reclaimable:", mica("info", vm).stdout)

    def test_check(self):
        vm = self.path("vm.mica")
        mica("create", vm, "10M")
        self.assertIn("no errors were found", mica("check", vm).stdout)
        self.assertEqual(self.json("check", "-r", "all", vm)["repairs"], [])
        self.refused("check", self.path("nothing"), status=1, says=["nothing"])
        self.refused("check", status=1, says=["usage: mica check"])
        with Server(self.directory, vm):
            self.refused("check", vm, status=1, says=["vm.mica"])


class Program(BlockVerbs):
    def test_help_and_usage(self):
        self.assertIn("usage: mica VERB", mica("--help").stdout)
        self.assertRegex(mica("--version").stdout, r"^mica \d+\.\d+")
        self.refused(status=2, says=["verb", "usage: mica VERB"])
        self.refused("frobnicate", status=2, says=["frobnicate"])
        self.refused("info", "--io=floppy", "x", status=2, says=["floppy"])
        self.refused("info", "--output=xml", "x", status=2, says=["xml"])
        self.refused("info", self.directory, status=1, says=["directory"])

    def test_options_before_and_after_the_verb(self):
        image = self.raw("image.raw", bytes(4096))
        self.assertEqual(json.loads(mica("--json", "info", image).stdout), self.json("info", image))
        self.assertEqual(json.loads(mica("info", "--output=json", image).stdout), self.json("info", image))

    def test_output_that_cannot_be_written(self):
        image = self.raw("image.raw", bytes(4096))
        with open("/dev/full", "w", encoding="ascii") as full:
            result = subprocess.run([MICA, "info", image], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("standard output", result.stderr)


class Serve(BlockVerbs):
    def start(self, *arguments):
        process = subprocess.Popen([MICA, "serve", *arguments], stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        return process

    def test_uris_pid_file_and_stop(self):
        master = self.sealed_master(MIB, b"master")
        vm = self.clone(master)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            process = self.start("--socket", self.path("s"), "--listen", "127.0.0.1:0", "--pid-file",
                                 self.path("pid"), vm, f"golden={master}")
            uris = [process.stdout.readline().strip() for _ in range(4)]
            for uri, size in zip(uris, ("vm", "vm", "golden", "golden")):
                self.assertIn(size, uri)
                self.assertEqual(run("nbdinfo", "--size", uri).stdout.strip(), str(MIB))
            self.assertEqual(read(self.path("pid")), f"{process.pid}\n".encode())
            process.send_signal(number)
            self.assertEqual(process.wait(timeout=30), 0)
            self.assertFalse(os.path.exists(self.path("s")))
            self.assertFalse(os.path.exists(self.path("pid")))
        mica("check", vm)

    def test_json(self):
        vm = self.path("vm.mica")
        mica("create", vm, "1M")
        process = self.start("--json", "--socket", self.path("s"), f"disk={vm}")
        ready = json.loads(process.stdout.readline())
        self.assertEqual([(entry["name"], entry["read-only"]) for entry in ready], [("disk", False)])
        run("nbdinfo", ready[0]["uri"])
        process.terminate()
        self.assertEqual(process.wait(timeout=30), 0)

    def test_access(self):
        raw = self.raw("disk.raw", bytes(MIB))
        self.refused("serve", "--socket", self.path("s"), raw, status=2, says=["disk.raw", "-f raw"])
        with Server(self.directory, raw, options=["--read-only"]) as server:
            self.assertTrue(server.connect("disk").is_read_only())
        with Server(self.directory, raw, options=["-f", "raw"]) as server:
            server.connect("disk").pwrite(b"written", 0)
        self.assertEqual(read(raw)[:7], b"written")

    def test_errors(self):
        vm = self.path("vm.mica")
        mica("create", vm, "1M")
        self.refused("serve", vm, status=2, says=["--socket", "usage: mica serve"])
        self.refused("serve", "--listen", "1234", vm, status=2, says=["HOST:PORT"])
        self.refused("serve", "--socket", self.path("x" * 120), vm, status=2, says=["socket"])
        mica("create", self.path("other.mica"), "1M")
        self.refused("serve", "--socket", self.path("s"), f"a={vm}", f"a={self.path('other.mica')}", status=2,
                     says=["'a'", "NAME="])
        self.refused("serve", "--socket", self.path("s"), vm, f"b={vm}", status=5, says=["vm.mica"])
        self.assertEqual(self.names(), ["other.mica", "vm.mica"])
        mica("check", vm)


if __name__ == "__main__":
    print(f"MICA_SEED={SEED}")
    harness.import_nbd()
    harness.need_programs("qemu-img", "nbdinfo")
    harness.main()
