// SPDX-License-Identifier: Apache-2.0
// Reads directories block by block: linear, hashed and inline ones. Hostile names ("a/b", a zero
// byte) and entries that leave their block are kCorrupt.
#pragma once

#include <functional>
#include <string_view>

#include "engine/base/result.h"
#include "tools/guest/ext4/file_map.h"

namespace mica::guest {

struct RawDirectoryEntry {
  std::string_view name;  // valid during the visit
  uint32_t inode = 0;
  uint8_t file_type = 0;  // EXT2_FT_…; 0 where the file system does not store it
};

enum class Visit : uint8_t { kContinue, kStop };
using EntryVisitor = std::function<Visit(const RawDirectoryEntry&)>;

// Every entry in use but "." and "..". The order is the disk's.
Result<void> VisitDirectory(ext2_filsys fs, IoManager& io, const RawInode& directory,
                            const EntryVisitor& visitor);

// The same for one block of a directory that is mapped at `physical` (for a reader that knows which
// blocks it wants).
Result<Visit> VisitDirectoryBlock(ext2_filsys fs, IoManager& io, const RawInode& directory,
                                  uint64_t physical, const EntryVisitor& visitor);

// The inode that ".." names. For inline directories it stands in the inode.
Result<uint32_t> ReadParent(ext2_filsys fs, IoManager& io, const RawInode& directory);

}  // namespace mica::guest
