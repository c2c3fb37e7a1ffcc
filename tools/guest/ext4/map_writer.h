// SPDX-License-Identifier: Apache-2.0
// Writes the block map of an inode anew: a freshly packed extent tree, or indirect blocks on ext2
// and ext3. Bulk building needs none of the library's tree surgery, whose 1.47.0 loses i_blocks
// when a tree gets its second level.
#pragma once

#include <vector>

#include "engine/base/result.h"
#include "tools/guest/ext4/allocator.h"
#include "tools/guest/ext4/file_map.h"
#include "tools/guest/ext4/volume.h"

namespace mica::guest {

// What the writing operations share. Borrows the volume, which is open for writing.
struct WriteContext {
  explicit WriteContext(Ext4Volume& opened) : volume(opened), allocator(opened.fs()) {}
  [[nodiscard]] ext2_filsys fs() const noexcept { return volume.fs(); }
  [[nodiscard]] IoManager& io() const noexcept { return volume.io(); }

  Ext4Volume& volume;
  Allocator allocator;
  Timestamp now;  // for ctime, crtime, dtime
};

// Replaces the map of `inode`: `old_metadata` are the tree blocks of the present map (freed),
// `extents` the new map, sorted. Data blocks are neither taken nor freed, but tree blocks are, and
// i_blocks follows them. Changes `inode` in memory; the caller writes it.
Result<void> StoreMap(WriteContext& context, RawInode& inode,
                      const std::vector<uint64_t>& old_metadata,
                      const std::vector<FileExtent>& extents);

// Frees the clusters that `old_extents` occupy and `new_extents` do not; i_blocks follows.
void ReleaseUnused(WriteContext& context, RawInode& inode,
                   const std::vector<FileExtent>& old_extents,
                   const std::vector<FileExtent>& new_extents);

// Appends to a sorted map and joins neighbours that continue each other.
void AppendExtent(std::vector<FileExtent>& extents, const FileExtent& extent);

// Makes i_block an empty map of the form new inodes have on this file system.
void InitMap(ext2_filsys fs, RawInode& inode);

}  // namespace mica::guest
