// SPDX-License-Identifier: Apache-2.0
// Entries of directories as plain (name, inode) pairs, for comparing and indexing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "tools/guest/ext4/index_blocks.h"

namespace mica::guest {

// One entry other than "." and "..".
struct Dirent {
  std::string leaf;
  uint32_t inode = 0;
  friend auto operator<=>(const Dirent&, const Dirent&) = default;
};

// kUnsupported for encrypted directories: their names are ciphertext and may hold any byte.
Result<void> CheckDirectory(const RawInode& directory);

// Appends the entries of consecutive blocks of a directory; hash tree nodes hold none.
Result<void> AppendEntries(const Ext4Blocks& blocks, const RawInode& directory, BlockSpan run,
                           std::vector<Dirent>& to);

// All entries of a directory, in the order of the disk.
Result<std::vector<Dirent>> ReadEntries(const Ext4Blocks& blocks, const RawInode& directory);

}  // namespace mica::guest
