// SPDX-License-Identifier: Apache-2.0
// Reads the bytes of an inode: mapped blocks with holes and unwritten extents as zeroes, inline
// data, symlink targets.
#pragma once

#include <string>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/range.h"
#include "engine/base/result.h"
#include "tools/guest/ext4/file_map.h"

namespace mica::guest {

// Fills `to` (range.length bytes) from the mapped blocks; what is not mapped or unwritten reads
// zero.
Result<void> ReadMapped(ext2_filsys fs, IoManager& io, const FileMap& map, ByteRange range,
                        Bytes to);

// The whole inline content (i_block and the tail in the attributes), exactly the inode's size.
Result<std::string> ReadInline(ext2_filsys fs, IoManager& io, const RawInode& inode);

// Fast, inline and mapped targets. kCorrupt when the size is impossible.
Result<std::string> ReadSymlinkTarget(ext2_filsys fs, IoManager& io, const RawInode& inode);

// The written ranges of the map, clipped to `size` bytes, neighbours merged.
std::vector<ByteRange> StoredRangesOf(const FileMap& map, uint64_t block_bytes, uint64_t size);

}  // namespace mica::guest
