// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/allocator.h"

#include <fmt/format.h>

#include <algorithm>

namespace mica::guest {

namespace {
constexpr int kRunsLookedAt = 64;
}

Allocator::Allocator(ext2_filsys fs)
    : fs_(fs),
      cluster_blocks_(static_cast<uint64_t>(EXT2FS_CLUSTER_RATIO(fs))),
      first_(fs->super->s_first_data_block),
      goal_(first_) {}

BlockRun Allocator::Search(uint64_t start, uint64_t end, uint64_t wanted) const {
  BlockRun best;
  for (int looked = 0; looked < kRunsLookedAt && start <= end; ++looked) {
    blk64_t free = 0;
    if (ext2fs_find_first_zero_block_bitmap2(fs_->block_map, start, end, &free) != 0) break;
    const uint64_t last = std::min<uint64_t>(end, free + wanted - 1);
    blk64_t used = 0;
    if (ext2fs_find_first_set_block_bitmap2(fs_->block_map, free, last, &used) != 0)
      used = last + 1;
    const BlockRun run{free, used - free};
    if (run.length > best.length) best = run;
    if (best.length >= wanted) break;
    start = used + 1;
  }
  return best;
}

Result<BlockRun> Allocator::Take(uint64_t wanted) {
  // The last, partial cluster of a file system is never handed out.
  const uint64_t end = ext2fs_blocks_count(fs_->super) / cluster_blocks_ * cluster_blocks_ - 1;
  wanted = AlignUp(std::clamp<uint64_t>(wanted, 1, end), cluster_blocks_);
  BlockRun run = Search(goal_, end, wanted);
  if (run.length < wanted) {
    const BlockRun wrapped = Search(first_, end, wanted);
    if (wrapped.length > run.length) run = wrapped;
  }
  run.length = run.length / cluster_blocks_ * cluster_blocks_;
  if (run.length == 0) return Error{Errc::kNoSpace, "the guest file system is full"};
  ext2fs_block_alloc_stats_range(fs_, run.start, static_cast<blk_t>(run.length), +1);
  goal_ = run.start + run.length > end ? first_ : run.start + run.length;
  return run;
}

void Allocator::Free(BlockRun run) {
  const uint64_t start = run.start / cluster_blocks_ * cluster_blocks_;
  const uint64_t end = DivideRoundUp(run.start + run.length, cluster_blocks_) * cluster_blocks_;
  for (uint64_t at = start; at < end;) {
    const uint64_t part = std::min<uint64_t>(end - at, uint64_t{1} << 30);
    ext2fs_block_alloc_stats_range(fs_, at, static_cast<blk_t>(part), -1);
    at += part;
  }
}

Result<void> AddToBlockCount(ext2_filsys fs, RawInode& inode, uint64_t clusters) {
  if (ext2fs_iblk_add_blocks(fs, inode.basic(), clusters) == 0) return {};
  return Error{Errc::kLimit,
               fmt::format("inode {} has too many blocks for this file system", inode.number)};
}

void RemoveFromBlockCount(ext2_filsys fs, RawInode& inode, uint64_t clusters) {
  // A count that was too small already cannot become smaller than nothing.
  if (ext2fs_iblk_sub_blocks(fs, inode.basic(), clusters) != 0)
    ext2fs_iblk_set(fs, inode.basic(), 0);
}

}  // namespace mica::guest
