// SPDX-License-Identifier: Apache-2.0
// Hashed directories (dir_index): finding an entry by its hash. libext2fs only searches linearly.
// Layout: Documentation/filesystems/ext4/directory.rst in Linux, "Hash Tree Directories".
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/base/result.h"
#include "tools/guest/ext4/file_map.h"

namespace mica::guest {

inline constexpr size_t kHashRootInfoOffset = 24;  // behind "." and ".."
inline constexpr size_t kHashRootEntriesOffset = 32;
inline constexpr size_t kHashNodeEntriesOffset = 8;
inline constexpr size_t kHashTailBytes = 8;  // checksum behind the entries

// True when the directory's index can be used: not for linear, inline, casefolded or encrypted
// ones.
bool HasUsableIndex(ext2_filsys fs, const RawInode& directory) noexcept;

// The hash version to give to ext2fs_dirhash for a stored version of this file system.
int HashVersion(ext2_filsys fs, uint8_t stored) noexcept;

// The places of the leaf blocks that may hold `leaf`: one, or several when hashes collide. kCorrupt
// when the index contradicts itself; the directory can then still be read linearly.
Result<std::vector<uint64_t>> FindLeaves(ext2_filsys fs, IoManager& io, const RawInode& directory,
                                         std::string_view leaf);

}  // namespace mica::guest
