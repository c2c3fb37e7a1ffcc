// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/diff_lineage.h"

namespace mica::guest {
namespace {

Timestamp CreatedAt(const RawInode& inode) noexcept {
  if (!inode.Reaches(offsetof(ext2_inode_large, i_crtime_extra) + 4)) return {};
  return DecodeTime(inode.large().i_crtime, inode.large().i_crtime_extra);
}

}  // namespace

Result<RawInode> ReadVersion(const Ext4Blocks& blocks, uint32_t number) {
  if (number > blocks.inode_count()) return blocks.InodeFrom(number, {});
  return blocks.ReadInode(number);
}

bool SameLineage(const RawInode& before, const RawInode& after) noexcept {
  return (before.large().i_mode & LINUX_S_IFMT) == (after.large().i_mode & LINUX_S_IFMT) &&
         before.large().i_generation == after.large().i_generation &&
         CreatedAt(before) == CreatedAt(after);
}

}  // namespace mica::guest
