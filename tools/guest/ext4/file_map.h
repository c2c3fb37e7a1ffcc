// SPDX-License-Identifier: Apache-2.0
// FileMap: where the blocks of one inode lie, from its extent tree or from its indirect blocks.
// Written for hostile metadata: every loop is bounded by the size of the volume.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/base/result.h"
#include "tools/guest/ext4/inode.h"

namespace mica::guest {

// All in file system blocks. Neighbours that continue each other are merged.
struct FileExtent {
  uint64_t logical = 0;
  uint64_t physical = 0;
  uint64_t length = 0;
  bool unwritten = false;  // allocated, reads zero
  [[nodiscard]] uint64_t end() const noexcept { return logical + length; }
  friend bool operator==(const FileExtent&, const FileExtent&) = default;
};

struct FileMap {
  std::vector<FileExtent> extents;        // sorted by logical, without overlap
  std::vector<uint64_t> metadata_blocks;  // extent tree nodes below the inode, indirect blocks
};

// Of any inode; empty for one without blocks (inline data, fast symlink, device, fifo, socket).
// kCorrupt for blocks outside the volume, unordered or overlapping extents, loops.
Result<FileMap> MapInode(ext2_filsys fs, IoManager& io, const RawInode& inode);

// True when i_block holds a map and not data, a symlink target or a device number.
bool HasBlockMap(const RawInode& inode) noexcept;

}  // namespace mica::guest
