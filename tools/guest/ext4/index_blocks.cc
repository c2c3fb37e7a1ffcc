// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/index_blocks.h"

#include <fmt/core.h>

#include <algorithm>
#include <bit>

namespace mica::guest {
namespace {

Result<void> CheckFeatures(const ext2_super_block& super) {
  if ((super.s_feature_ro_compat & EXT4_FEATURE_RO_COMPAT_SHARED_BLOCKS) != 0) {
    return Error{Errc::kUnsupported, "ext4 volumes with shared blocks are not supported"};
  }
  if ((super.s_feature_incompat & EXT3_FEATURE_INCOMPAT_JOURNAL_DEV) != 0) {
    return Error{Errc::kUnsupported, "this is an external ext4 journal, not a file system"};
  }
  return {};
}

uint32_t LiveInodes(ext2_filsys fs, dgrp_t group) {
  const uint32_t per_group = fs->super->s_inodes_per_group;
  if (ext2fs_has_group_desc_csum(fs) == 0) return per_group;
  if (ext2fs_bg_flags_test(fs, group, EXT2_BG_INODE_UNINIT) != 0) return 0;
  const uint32_t unused = ext2fs_bg_itable_unused(fs, group);
  return unused >= per_group ? 0 : per_group - unused;
}

}  // namespace

Result<Ext4Blocks> Ext4Blocks::Open(ext2_filsys fs, IoManager& io) {
  const ext2_super_block& super = *fs->super;
  TRY(CheckFeatures(super));
  Ext4Blocks blocks(fs, io);
  blocks.block_bytes_ = fs->blocksize;
  blocks.block_count_ = ext2fs_blocks_count(fs->super);
  blocks.inode_bytes_ = static_cast<uint32_t>(EXT2_INODE_SIZE(fs->super));
  blocks.inodes_per_group_ = super.s_inodes_per_group;
  if (blocks.inode_bytes_ < EXT2_GOOD_OLD_INODE_SIZE || blocks.inode_bytes_ > fs->blocksize ||
      !std::has_single_bit(blocks.inode_bytes_) || blocks.inodes_per_group_ == 0) {
    return Error{Errc::kCorrupt, fmt::format("ext4 superblock: inodes of {} bytes, {} per group",
                                             blocks.inode_bytes_, blocks.inodes_per_group_)};
  }
  if (uint64_t{fs->group_desc_count} * blocks.inodes_per_group_ != super.s_inodes_count) {
    return Error{Errc::kCorrupt,
                 fmt::format("ext4 superblock: {} inodes, but {} groups of {}",
                             super.s_inodes_count, fs->group_desc_count, blocks.inodes_per_group_)};
  }
  const uint64_t table_blocks =
      (uint64_t{blocks.inodes_per_group_} * blocks.inode_bytes_ + fs->blocksize - 1) /
      fs->blocksize;
  blocks.tables_.reserve(fs->group_desc_count);
  for (dgrp_t group = 0; group < fs->group_desc_count; ++group) {
    const InodeTable table{.first_block = ext2fs_inode_table_loc(fs, group),
                           .first_inode = group * blocks.inodes_per_group_ + 1,
                           .inodes_live = LiveInodes(fs, group)};
    if (!blocks.Contains({table.first_block, table_blocks})) {
      return Error{Errc::kCorrupt, fmt::format("ext4 group {}: inode table at block {} of {}",
                                               group, table.first_block, blocks.block_count_)};
    }
    blocks.tables_.push_back(table);
  }
  return blocks;
}

Result<void> Ext4Blocks::Read(uint64_t block, Bytes buffer) const {
  const uint64_t count = buffer.size() / block_bytes_;
  if (!Contains({block, count})) {
    return Error{Errc::kCorrupt, fmt::format("ext4 metadata names blocks {}+{} of a volume of {}",
                                             block, count, block_count_)};
  }
  const errcode_t code =
      io_channel_read_blk64(fs_->io, block, static_cast<int>(count), buffer.data());
  if (code != 0) return Ext2Error(*io_, code, fmt::format("read of blocks {}+{}", block, count));
  return {};
}

Result<RawInode> Ext4Blocks::ReadInode(uint32_t inode) const {
  if (inode == 0 || inode > inode_count()) {
    return Error{Errc::kCorrupt, fmt::format("ext4 inode {} of {}", inode, inode_count())};
  }
  const InodeTable& table = tables_[(inode - 1) / inodes_per_group_];
  if (inode - table.first_inode >= table.inodes_live) return InodeFrom(inode, {});
  return guest::ReadInode(fs_, *io_, inode);
}

RawInode Ext4Blocks::InodeFrom(uint32_t number, ConstBytes bytes) const {
  RawInode inode;
  inode.number = number;
  inode.disk_bytes = inode_bytes_;
  inode.bytes.assign(bytes.begin(), bytes.end());
  inode.bytes.resize(std::max<size_t>(inode_bytes_, sizeof(ext2_inode_large)));
  return inode;
}

bool IsInternalInode(const ext2_super_block& super, uint32_t inode) noexcept {
  if (inode == EXT2_ROOT_INO) return false;
  const uint32_t first_free =
      super.s_rev_level == EXT2_GOOD_OLD_REV ? EXT2_GOOD_OLD_FIRST_INO : super.s_first_ino;
  if (inode < first_free) return true;
  const bool has_orphan_file = (super.s_feature_compat & EXT4_FEATURE_COMPAT_ORPHAN_FILE) != 0;
  return inode == super.s_journal_inum || inode == super.s_usr_quota_inum ||
         inode == super.s_grp_quota_inum || inode == super.s_prj_quota_inum ||
         (has_orphan_file && inode == super.s_orphan_file_inum);
}

bool IsObject(const RawInode& inode) noexcept {
  return inode.large().i_links_count != 0 && !inode.Has(EXT4_EA_INODE_FL) &&
         KindOfInode(inode).has_value();
}

bool IsDirectory(const RawInode& inode) noexcept {
  return LINUX_S_ISDIR(inode.large().i_mode) && IsObject(inode);
}

bool IsRegular(const RawInode& inode) noexcept {
  return LINUX_S_ISREG(inode.large().i_mode) && IsObject(inode);
}

bool IsValueInode(const RawInode& inode) noexcept {
  return inode.large().i_links_count != 0 && inode.Has(EXT4_EA_INODE_FL) &&
         LINUX_S_ISREG(inode.large().i_mode);
}

}  // namespace mica::guest
