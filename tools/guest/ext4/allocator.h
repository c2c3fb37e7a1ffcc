// SPDX-License-Identifier: Apache-2.0
// Allocator: takes and frees blocks of a volume that is open for writing, with all counters.
#pragma once

#include <ext2fs/ext2fs.h>

#include <cstdint>

#include "engine/base/result.h"
#include "tools/guest/ext4/inode.h"

namespace mica::guest {

// Physical blocks in a row.
struct BlockRun {
  uint64_t start = 0;
  uint64_t length = 0;
};

// Hands out ascending runs from a moving goal, so that what is written together lies together and a
// delta stays dense. On file systems with clusters (bigalloc) runs are whole clusters. Our own
// instead of ext2fs_fallocate, which over-allocates and joins wrong extents when it fills left of
// an existing extent (e2fsprogs 459efa34 and 149805bf, fixed in 1.47.3). One thread; borrows the
// file system.
class Allocator {
 public:
  explicit Allocator(ext2_filsys fs);

  // A run of at most `wanted` blocks rounded up to clusters, at least one cluster; kNoSpace.
  Result<BlockRun> Take(uint64_t wanted);
  // Blocks of a run; on bigalloc every cluster it touches.
  void Free(BlockRun run);

  [[nodiscard]] uint64_t cluster_blocks() const noexcept { return cluster_blocks_; }

 private:
  // The best run in [start, end] (inclusive): the first that is long enough, or the longest of the
  // first kRunsLookedAt. Length 0 when there is none.
  BlockRun Search(uint64_t start, uint64_t end, uint64_t wanted) const;

  ext2_filsys fs_;
  uint64_t cluster_blocks_;
  uint64_t first_;
  uint64_t goal_;
};

// Adds or removes blocks from i_blocks of an inode (whole clusters).
Result<void> AddToBlockCount(ext2_filsys fs, RawInode& inode, uint64_t clusters);
void RemoveFromBlockCount(ext2_filsys fs, RawInode& inode, uint64_t clusters);

}  // namespace mica::guest
