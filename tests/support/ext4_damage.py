# SPDX-License-Identifier: Apache-2.0
"""Damage to chosen structures of an ext file system in a plain file: what a hostile guest could write. Checksums are
left as they are: file systems made without them show what is behind."""

import struct

ROOT, JOURNAL = 2, 8
EXTENTS, INDEXED, INLINE = 0x80000, 0x1000, 0x10000000
EXTREMES = (0, 1, 2, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff)
EXTENT_MAGIC = 0xf30a


class Survey:
    """Where the structures of one file system are; taken before it is damaged."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        word = self._super
        self.block = 1024 << word(24)
        self.first_block = word(20)
        self.inodes_per_group = word(40)
        self.inode_bytes = self._half(1024 + 88)
        self.descriptor_bytes = self._half(1024 + 254) if word(96) & 0x80 else 32
        self.groups = -(-(word(4) - self.first_block) // word(32))
        self.descriptors = (self.first_block + 1) * self.block
        self.inodes = {number: at for number, at in self._inodes() if self._half(at)}
        self.maps = {number: self._map(at) for number, at in self.inodes.items()}

    def _super(self, offset):
        return struct.unpack_from("<I", self.data, 1024 + offset)[0]

    def _half(self, at):
        return struct.unpack_from("<H", self.data, at)[0]

    def _word(self, at):
        return struct.unpack_from("<I", self.data, at)[0]

    def _descriptor(self, group, offset):
        return self._word(self.descriptors + group * self.descriptor_bytes + offset)

    def _inodes(self):
        for group in range(self.groups):
            table = self._descriptor(group, 8) * self.block
            for index in range(self.inodes_per_group):
                yield group * self.inodes_per_group + index + 1, table + index * self.inode_bytes

    def mode(self, number):
        return self._half(self.inodes[number])

    def flags(self, number):
        return self._word(self.inodes[number] + 32)

    def _map(self, at):
        """(offsets of the nodes of its extent tree or its blocks of pointers, numbers of its first blocks)."""
        kind = self._half(at) & 0xf000
        flags = self._word(at + 32)
        if flags & INLINE or kind not in (0x8000, 0x4000) and self._word(at + 28) == 0:
            return [], []
        nodes, blocks = [], []
        if flags & EXTENTS:
            self._walk_extents(at + 40, nodes, blocks)
        elif kind in (0x8000, 0x4000):
            pointers = [self._word(at + 40 + 4 * i) for i in range(15)]
            blocks = [pointer for pointer in pointers[:12] if pointer]
            nodes = [pointer * self.block for pointer in pointers[12:] if pointer]
        return nodes, blocks

    def _walk_extents(self, at, nodes, blocks):
        magic, entries, _, depth = struct.unpack_from("<4H", self.data, at)
        if magic != EXTENT_MAGIC:
            return
        nodes.append(at)
        for index in range(entries):
            entry = at + 12 + 12 * index
            if depth:
                self._walk_extents(self._word(entry + 4) * self.block, nodes, blocks)
            else:
                first = self._word(entry + 8)
                blocks += range(first, first + min(self._half(entry + 4) & 0x7fff, 64))

    def having(self, wanted):
        """The inodes of which `wanted` is true."""
        return [number for number in self.inodes if wanted(number)]


def blocks_of(survey, number):
    return [block * survey.block for block in survey.maps[number][1]]


def place_in_superblock(survey, generator):
    del survey
    return 1024, 1024


def place_in_descriptor(survey, generator):
    group = generator.randrange(survey.groups)
    return survey.descriptors + group * survey.descriptor_bytes, survey.descriptor_bytes


def place_in_bitmap(survey, generator):
    group = generator.randrange(survey.groups)
    number = struct.unpack_from("<I", survey.data, survey.descriptors + group * survey.descriptor_bytes +
                                generator.choice((0, 4)))[0]
    return number * survey.block, survey.block // 4


def place_in_inode(survey, generator):
    return survey.inodes[generator.choice(list(survey.inodes))], survey.inode_bytes


def place_in_map(survey, generator):
    node = generator.choice([node for nodes, _ in survey.maps.values() for node in nodes])
    return node, 60


def place_in_directory(survey, generator):
    number = generator.choice(survey.having(lambda n: survey.mode(n) >> 12 == 4 and survey.maps[n][1]))
    return generator.choice(blocks_of(survey, number)), survey.block


def place_in_index(survey, generator):
    hashed = survey.having(lambda n: survey.flags(n) & INDEXED and survey.mode(n) >> 12 == 4)
    if not hashed:
        return place_in_directory(survey, generator)
    return blocks_of(survey, generator.choice(hashed))[0], 80


def place_in_attributes(survey, generator):
    holders = survey.having(lambda n: survey._word(survey.inodes[n] + 104))
    if holders and generator.randrange(2):
        return survey._word(survey.inodes[generator.choice(holders)] + 104) * survey.block, 128
    at = survey.inodes[generator.choice(list(survey.inodes))]
    return at + 128, max(survey.inode_bytes - 128, 4)


def place_in_journal(survey, generator):
    blocks = blocks_of(survey, JOURNAL) if JOURNAL in survey.maps else []
    if not blocks:
        return place_in_superblock(survey, generator)
    return generator.choice(blocks[:1] * 4 + blocks[1:8]), 128


PLACES = {"superblock": place_in_superblock, "descriptor": place_in_descriptor, "bitmap": place_in_bitmap,
          "inode": place_in_inode, "map": place_in_map, "directory": place_in_directory, "index": place_in_index,
          "attributes": place_in_attributes, "journal": place_in_journal}


def overwrite(survey, kind, generator):
    """Flips a bit, or sets a field to a value that is extreme or belongs elsewhere."""
    start, length = PLACES[kind](survey, generator)
    width = generator.choice((1, 2, 4))
    at = start + generator.randrange(0, length, width)
    at = min(at, len(survey.data) - 4)
    old = survey.data[at:at + width]
    if generator.randrange(3) == 0:
        return at, bytes([old[0] ^ 1 << generator.randrange(8)]) + old[1:]
    value = generator.choice((*EXTREMES, generator.randrange(1 << 32), generator.choice(list(survey.inodes)),
                              int.from_bytes(old, "little") + 1))
    return at, (value & (1 << 8 * width) - 1).to_bytes(width, "little")


def loop_of_directories(survey, generator):
    """An entry of a directory leads to a directory above it, to another one, or to itself."""
    folders = survey.having(lambda n: survey.mode(n) >> 12 == 4)
    at = generator.choice(blocks_of(survey, generator.choice([n for n in folders if survey.maps[n][1]])))
    end = at + survey.block
    entries = []
    while at + 8 <= end:
        number, length = struct.unpack_from("<IH", survey.data, at)
        if length < 8:
            break
        if number:
            entries.append(at)
        at += length
    if not entries:
        return overwrite(survey, "directory", generator)
    return generator.choice(entries), struct.pack("<I", generator.choice(folders))


def loop_of_extents(survey, generator):
    """A node of an extent tree or a block of pointers leads to itself, or to another node."""
    deep = [nodes for nodes, _ in survey.maps.values() if len(nodes) > 1]
    if not deep:
        return overwrite(survey, "map", generator)
    nodes = generator.choice(deep)
    node = generator.choice(nodes)
    target = generator.choice([other for other in nodes if other % survey.block == 0]) // survey.block
    if survey._half(node) == EXTENT_MAGIC:
        if generator.randrange(2):  # a leaf becomes an index of itself
            return node + 4, struct.pack("<HHIII", survey._half(node + 4), 1, 0, 0, target)
        return node + 12 + 4, struct.pack("<I", target)
    return node, struct.pack("<I", target)


def damage(path, survey, generator):
    """Damages the file system in `path`; what was done, for people."""
    done = []
    with open(path, "r+b") as file:
        for _ in range(generator.choice((1, 1, 2, 4))):
            kind = generator.choice((*PLACES, "loop of directories", "loop of extents"))
            if kind == "loop of directories":
                at, content = loop_of_directories(survey, generator)
            elif kind == "loop of extents":
                at, content = loop_of_extents(survey, generator)
            else:
                at, content = overwrite(survey, kind, generator)
            file.seek(at)
            file.write(content)
            done.append(f"{kind}: {content.hex()} at {at}")
    return done
