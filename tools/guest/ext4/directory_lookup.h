// SPDX-License-Identifier: Apache-2.0
// Finds one name in a directory, through its index where there is one.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "tools/guest/ext4/directory_block.h"
#include "tools/guest/ext4/file_map.h"

namespace mica::guest {

// The inode a name has. Any directory; encrypted and casefolded ones compare bytes.
Result<std::optional<uint32_t>> FindEntry(ext2_filsys fs, IoManager& io, const RawInode& directory,
                                          std::string_view leaf);

// An entry with the block it stands in, to be changed and written back.
struct FoundEntry {
  uint32_t inode = 0;
  uint64_t physical = 0;
  EntryPlace place;
  std::vector<std::byte> block;
};

// In a directory with blocks (not inline). Finds "." and ".." too.
Result<std::optional<FoundEntry>> FindMapped(ext2_filsys fs, IoManager& io,
                                             const RawInode& directory, std::string_view leaf);
// In the block at `physical` only.
Result<std::optional<FoundEntry>> FindInBlockAt(ext2_filsys fs, IoManager& io,
                                                const RawInode& directory, uint64_t physical,
                                                std::string_view leaf);

}  // namespace mica::guest
