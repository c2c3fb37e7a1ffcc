// SPDX-License-Identifier: Apache-2.0
// Sets of blocks, and where two maps of one inode lead to different content.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/base/range.h"
#include "tools/guest/ext4/file_map.h"
#include "tools/guest/ext4/index_blocks.h"

namespace mica::guest {

// Immutable, sorted, merged.
class BlockSet {
 public:
  // Every block that one of the ranges (any order, may overlap) has a byte of.
  BlockSet(std::span<const ByteRange> ranges, const Ext4Blocks& volume);

  [[nodiscard]] const std::vector<BlockSpan>& runs() const noexcept { return runs_; }
  // The blocks of `run` that are in the set.
  [[nodiscard]] std::vector<BlockSpan> Within(BlockSpan run) const;

 private:
  std::vector<BlockSpan> runs_;
};

// Blocks [logical, logical + count) of a file that may hold other bytes than before. They lie in
// one piece in either version; none: they read zero.
struct ChangedPiece {
  uint64_t logical = 0;
  uint64_t count = 0;
  std::optional<uint64_t> before;
  std::optional<uint64_t> after;
};

// Where the maps differ, and where they agree on blocks of `touched`. Ascending.
std::vector<ChangedPiece> ChangedPieces(const FileMap& before, const FileMap& after,
                                        const BlockSet& touched);

}  // namespace mica::guest
