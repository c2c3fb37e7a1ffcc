// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/diff_blocks.h"

#include <algorithm>
#include <limits>

namespace mica::guest {
namespace {

// Steps through a map from the front; unwritten extents are holes.
class MapCursor {
 public:
  explicit MapCursor(const FileMap& map) : extents_(map.extents) { SkipUnwritten(); }

  // The block that holds `logical`, or none; `logical` never goes back.
  [[nodiscard]] std::optional<uint64_t> BlockAt(uint64_t logical) {
    while (at_ < extents_.size() && extents_[at_].end() <= logical) {
      ++at_;
      SkipUnwritten();
    }
    if (at_ == extents_.size() || extents_[at_].logical > logical) return std::nullopt;
    return extents_[at_].physical + (logical - extents_[at_].logical);
  }

  // Where the answer for the `logical` asked last stops to hold.
  [[nodiscard]] uint64_t NextEdge(uint64_t logical) const {
    if (at_ == extents_.size()) return std::numeric_limits<uint64_t>::max();
    const FileExtent& extent = extents_[at_];
    return logical < extent.logical ? extent.logical : extent.end();
  }

 private:
  void SkipUnwritten() {
    while (at_ < extents_.size() && extents_[at_].unwritten) ++at_;
  }

  const std::vector<FileExtent>& extents_;
  size_t at_ = 0;
};

uint64_t EndOf(const FileMap& map) {
  return map.extents.empty() ? 0 : map.extents.back().end();
}

}  // namespace

BlockSet::BlockSet(std::span<const ByteRange> ranges, const Ext4Blocks& volume) {
  const uint64_t bytes = volume.block_count() * volume.block_bytes();
  for (const ByteRange& range : ranges) {
    if (range.empty() || range.offset >= bytes) continue;
    const uint64_t end = range.offset + std::min(range.length, bytes - range.offset);
    const uint64_t first = range.offset / volume.block_bytes();
    runs_.push_back({first, DivideRoundUp(end, volume.block_bytes()) - first});
  }
  std::ranges::sort(runs_, {}, &BlockSpan::first);
  std::vector<BlockSpan> merged;
  for (const BlockSpan& run : runs_) {
    if (!merged.empty() && run.first <= merged.back().end()) {
      BlockSpan& last = merged.back();
      last.count = std::max(last.end(), run.end()) - last.first;
    } else {
      merged.push_back(run);
    }
  }
  runs_ = std::move(merged);
}

std::vector<BlockSpan> BlockSet::Within(BlockSpan run) const {
  std::vector<BlockSpan> within;
  auto at = std::ranges::upper_bound(runs_, run.first, {}, &BlockSpan::end);
  for (; at != runs_.end() && at->first < run.end(); ++at) {
    const uint64_t first = std::max(at->first, run.first);
    within.push_back({first, std::min(at->end(), run.end()) - first});
  }
  return within;
}

std::vector<ChangedPiece> ChangedPieces(const FileMap& before, const FileMap& after,
                                        const BlockSet& touched) {
  std::vector<ChangedPiece> pieces;
  MapCursor cursor_before(before);
  MapCursor cursor_after(after);
  const uint64_t end = std::max(EndOf(before), EndOf(after));
  for (uint64_t logical = 0; logical < end;) {
    const auto from = cursor_before.BlockAt(logical);
    const auto to = cursor_after.BlockAt(logical);
    const uint64_t next =
        std::min({cursor_before.NextEdge(logical), cursor_after.NextEdge(logical), end});
    if (from != to) {
      pieces.push_back({logical, next - logical, from, to});
    } else if (from) {
      for (const BlockSpan& run : touched.Within({*from, next - logical})) {
        pieces.push_back({logical + (run.first - *from), run.count, run.first, run.first});
      }
    }
    logical = next;
  }
  return pieces;
}

}  // namespace mica::guest
