#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`mica seal --compress` with qemu-img as the judge of the content: on masters and deltas, under deltas that are
in use, interrupted, damaged, and where it has to refuse. The seed of the content is printed and can be given in
MICA_SEED."""

import json
import os
import random
import signal
import stat
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import harness  # noqa: E402
from harness import MICA, Server, mica, run  # noqa: E402

MIB = 1 << 20
SIZE = 24 * MIB + 1234
SEED = int(os.environ.get("MICA_SEED", "20240607"))


def scribbled(size, seed, pieces=60):
    """Bytes with holes, text that compresses, and noise that does not."""
    generator, content = random.Random(SEED * 1000 + seed), bytearray(size)
    for _ in range(pieces):
        start = generator.randrange(size)
        length = min(generator.randrange(1, 300000), size - start)
        word = generator.randbytes(generator.choice((1, 40, 3000)))
        text = generator.random() < 0.7
        piece = (word * (length // len(word) + 1))[:length] if text else generator.randbytes(length)
        content[start:start + length] = piece
    return bytes(content)


class Packed(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.content = scribbled(SIZE, 1)
        self.raw = harness.make_raw(self.path("master.raw"), SIZE, self.content)
        self.master = self.path("master.mica")
        mica("convert", "-O", "mica", self.raw, self.master)

    def info(self, image):
        return json.loads(mica("info", "--json", image).stdout)

    def judge(self, image, expected):
        """The content by conversion and over NBD, compared by qemu-img with the raw file `expected`."""
        out = self.path("out.raw")
        mica("convert", "--force", "-O", "raw", image, out)
        run("qemu-img", "compare", "-f", "raw", "-F", "raw", expected, out)
        with Server(self.directory, f"disk={image}") as server:
            run("qemu-img", "compare", "-f", "raw", "-F", "raw", expected, server.uri("disk"))

    def names(self):
        return sorted(os.listdir(self.directory))

    def delta(self, parent, name, seed):
        """A delta with changes, and a raw file of what it shows."""
        image, raw = self.path(name), self.path(name + ".raw")
        mica("clone", parent, image)
        mica("convert", "--force", "-O", "raw", image, raw)
        generator = random.Random(SEED + seed)
        with Server(self.directory, f"vm={image}") as server, open(raw, "r+b") as file:
            handle = server.connect("vm")
            for number in range(30):
                offset = generator.randrange(SIZE - 60000)
                data = generator.randbytes(60000) if number % 2 else bytes([number]) * 60000
                handle.pwrite(data, offset)
                file.seek(offset)
                file.write(data)
            handle.flush()
            handle.shutdown()
        return image, raw


class Content(Packed):
    def test_every_chunk_size_and_io_engine(self):
        ratios = []
        for chunk, engine in (("16K", "uring"), ("32K", "aio"), ("64K", "pread")):
            with self.subTest(chunk):
                image = self.path(f"{chunk}.mica")
                mica("convert", "-O", "mica", self.raw, image)
                mica("seal", f"--io={engine}", "--compress=3", "--chunk-size", chunk, image)
                self.judge(image, self.raw)
                mica("check", "--data", image)
                compression = self.info(image)["compression"]
                self.assertEqual(compression["level"], 3)
                self.assertEqual(compression["chunk-size"], int(chunk[:-1]) * 1024)
                ratios.append(compression["content-bytes"] / compression["stored-bytes"])
        self.assertGreater(ratios[0], 1.2)
        self.assertGreater(ratios[2], ratios[0])

    def test_children_before_and_after(self):
        before, before_raw = self.delta_of_sealed("before.mica", 2)
        identity = self.info(self.master)["identity"]
        mica("seal", "--compress", self.master)
        self.assertEqual(self.info(self.master)["identity"], identity)
        self.judge(before, before_raw)
        after, after_raw = self.delta(self.master, "after.mica", 3)
        self.judge(after, after_raw)
        # A delta as master of others, compressed in its turn.
        mica("seal", "--compress=1", after)
        self.judge(after, after_raw)
        third, third_raw = self.delta(after, "third.mica", 4)
        self.judge(third, third_raw)
        chain = json.loads(mica("info", "--backing-chain", "--json", third).stdout)
        self.assertEqual(["compression" in layer for layer in chain], [False, True, True])

    def delta_of_sealed(self, name, seed):
        mica("seal", self.master)
        return self.delta(self.master, name, seed)

    def test_map_and_info(self):
        mica("seal", "--compress", self.master)
        entries = json.loads(mica("map", "--json", self.master).stdout)
        self.assertEqual(sum(entry["length"] for entry in entries), SIZE)
        packed = [entry for entry in entries if entry["compressed"]]
        plain = [entry for entry in entries if entry["data"] and not entry["compressed"]]
        self.assertTrue(packed and plain)
        self.assertTrue(all("offset" not in entry for entry in packed))
        self.assertTrue(all("offset" in entry for entry in plain))
        self.assertIn("compressed size", mica("info", self.master).stdout)
        self.assertIn("compressed", mica("map", self.master).stdout)

    def test_the_same_bytes_every_time(self):
        mica("seal", self.master)
        files = []
        for copy in ("a.mica", "b.mica"):
            run("cp", self.master, self.path(copy))
            mica("seal", "--compress=5", self.path(copy))
            with open(self.path(copy), "rb") as file:
                files.append(file.read())
        self.assertEqual(files[0], files[1])


class InPlace(Packed):
    def test_under_deltas_that_are_in_use(self):
        mica("seal", self.master)
        delta, raw = self.delta(self.master, "vm.mica", 5)
        with Server(self.directory, f"vm={delta}") as server:
            mica("seal", "--compress", self.master)
            run("qemu-img", "compare", "-f", "raw", "-F", "raw", raw, server.uri("vm"))
        self.judge(delta, raw)

    def test_name_mode_and_link_stay(self):
        os.chmod(self.master, 0o640)
        os.symlink("master.mica", self.path("link.mica"))
        mica("seal", "--compress", self.path("link.mica"))
        self.assertTrue(os.path.islink(self.path("link.mica")))
        self.assertEqual(stat.S_IMODE(os.stat(self.master).st_mode), 0o640)
        self.assertIn("compression", self.info(self.master))
        self.assertEqual(self.names(), ["link.mica", "master.mica", "master.raw"])

    def test_interrupted(self):
        mica("seal", self.master)
        for number, delay in enumerate((0, 0.02, 0.05, 0.1)):
            process = subprocess.Popen([MICA, "seal", "--compress=19", self.master], stderr=subprocess.DEVNULL)
            time.sleep(delay)
            process.send_signal((signal.SIGTERM, signal.SIGINT)[number % 2])
            process.wait()
            mica("check", "--data", self.master)
            self.assertEqual(self.names(), ["master.mica", "master.raw"])
        self.judge(self.master, self.raw)

    def test_dry_run_changes_nothing(self):
        mica("seal", "-n", "--compress", self.master)
        self.assertFalse(self.info(self.master)["sealed"])


class Refusals(Packed):
    def refused(self, *arguments, status=1, says):
        message = mica(*arguments, status=status).stderr
        for word in says:
            self.assertIn(word, message)

    def test_what_cannot_be_compressed(self):
        self.refused("seal", "--compress", "-f", "raw", self.raw, says=("mica convert -O mica",))
        self.assertEqual(self.names(), ["master.mica", "master.raw"])
        self.refused("seal", "--compress=0", self.master, status=2, says=("1 to 19",))
        self.refused("seal", "--compress=20", self.master, status=2, says=("1 to 19",))
        self.refused("seal", "--compress", "--chunk-size", "8K", self.master, status=2, says=("16K, 32K and 64K",))
        self.refused("seal", "--chunk-size", "16K", self.master, status=2, says=("--compress",))
        self.assertFalse(self.info(self.master)["sealed"])
        mica("seal", "--compress", self.master)
        self.refused("seal", "--compress", self.master, says=("compressed already",))
        mica("seal", self.master)

    def test_it_is_never_written(self):
        mica("seal", "--compress", self.master)
        self.refused("convert", "--force", "-O", "mica", self.raw, self.master, says=("sealed",))
        with Server(self.directory, f"disk={self.master}") as server:
            self.assertTrue(server.connect("disk").is_read_only())

    def test_damage_is_named(self):
        mica("seal", "--compress=1", self.master)
        place = os.path.getsize(self.master) // 2
        with open(self.master, "r+b") as file:
            file.seek(place)
            byte = file.read(1)[0]
            file.seek(place)
            file.write(bytes([byte ^ 16]))
        message = mica("convert", "-O", "raw", self.master, self.path("out.raw"), status=1).stderr
        for word in (self.master, "guest offset", "file offset"):
            self.assertIn(word, message)
        report = json.loads(mica("check", "--data", "--json", self.master, status=2).stdout)
        self.assertGreater(report["corruptions"], 0)
        mica("check", self.master)
        mica("clone", self.master, self.path("vm.mica"))


if __name__ == "__main__":
    print(f"seed {SEED}", file=sys.stderr)
    harness.main()
