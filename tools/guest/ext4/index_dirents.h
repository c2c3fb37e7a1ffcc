// SPDX-License-Identifier: Apache-2.0
// Directory entries straight from blocks (or from inline data), without a lookup structure: hash
// tree nodes look like one unused entry and yield nothing. (kernel:
// Documentation/filesystems/ext4/directory.rst)
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "tools/guest/ext4/index_blocks.h"
#include "tools/guest/ext4/inode.h"

namespace mica::guest {

// One entry other than "." and "..".
struct Dirent {
  std::string leaf;
  uint32_t inode = 0;
  friend auto operator<=>(const Dirent&, const Dirent&) = default;
};

// Appends the entries of one directory block. kCorrupt when they do not fill it by the rules, name
// an inode beyond `inode_count`, or hold a name that is no name ('/' or NUL inside).
Result<void> ParseDirents(ConstBytes block, uint32_t inode_count, std::vector<Dirent>& to);

// The entries of a directory kept inside its inode (inline data).
Result<std::vector<Dirent>> ReadInlineDirectory(const Ext4Blocks& blocks, const RawInode& inode);

// Appends the entries of consecutive directory blocks.
Result<void> ReadDirectoryRun(const Ext4Blocks& blocks, BlockRun run, std::vector<Dirent>& to);

// All entries of a directory, in no order. kUnsupported for an encrypted one.
Result<std::vector<Dirent>> ReadDirectory(const Ext4Blocks& blocks, const RawInode& inode);

// Checks what the two above rely on; kUnsupported for encrypted directories (their names are
// ciphertext, and may hold any byte).
Result<void> CheckDirectory(const RawInode& inode);

}  // namespace mica::guest
