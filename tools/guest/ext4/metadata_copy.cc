// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/metadata_copy.h"

#include <ext2fs/ext3_extents.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "tools/guest/ext4/xattr_reader.h"

namespace mica::guest {

namespace {

constexpr uint64_t kChunkBytes = uint64_t{1} << 20;
constexpr size_t kPieceBytes = 4096;

class Collector {
 public:
  Collector(SyncDevice& device, Ext4Volume& volume)
      : device_(device), volume_(volume), fs_(volume.fs()) {}

  Result<void> Run() {
    Add(0, 1);  // with the superblock where blocks are larger than 1 KiB
    for (dgrp_t group = 0; group < fs_->group_desc_count; ++group) {
      AddGroup(group);
      TRY(ScanInodes(group));
    }
    if (fs_->super->s_mmp_block != 0) Add(fs_->super->s_mmp_block, 1);
    return {};
  }

  // In blocks, sorted and joined.
  std::vector<ByteRange> TakeRanges() {
    std::ranges::sort(ranges_, {}, &ByteRange::offset);
    std::vector<ByteRange> joined;
    for (const ByteRange& range : ranges_) {
      if (!joined.empty() && range.offset <= joined.back().end()) {
        joined.back() =
            RangeBetween(joined.back().offset, std::max(joined.back().end(), range.end()));
      } else {
        joined.push_back(range);
      }
    }
    return joined;
  }

 private:
  // Quietly clips to the file system: damage is for the check to find.
  void Add(uint64_t block, uint64_t count) {
    const ByteRange range = Intersect(RangeBetween(block, block + count),
                                      RangeBetween(0, ext2fs_blocks_count(fs_->super)));
    if (range.empty()) return;
    if (!ranges_.empty() && ranges_.back().end() == range.offset) {
      ranges_.back().length += range.length;
    } else {
      ranges_.push_back(range);
    }
  }

  void AddGroup(dgrp_t group) {
    blk64_t super = 0;
    blk64_t old_descriptors = 0;
    blk64_t new_descriptors = 0;
    blk_t used = 0;
    ext2fs_super_and_bgd_loc2(fs_, group, &super, &old_descriptors, &new_descriptors, &used);
    if (super != 0 || group == 0) Add(super, 1);
    const uint64_t descriptor_blocks =
        uint64_t{fs_->desc_blocks} + fs_->super->s_reserved_gdt_blocks;
    if (old_descriptors != 0) Add(old_descriptors, descriptor_blocks);
    if (new_descriptors != 0) Add(new_descriptors, 1);
    Add(ext2fs_block_bitmap_loc(fs_, group), 1);
    Add(ext2fs_inode_bitmap_loc(fs_, group), 1);
  }

  // Inodes of the group that are or were in use.
  [[nodiscard]] uint64_t InodesOf(dgrp_t group) const {
    const uint64_t all = fs_->super->s_inodes_per_group;
    if (!ext2fs_has_group_desc_csum(fs_)) return all;
    if (ext2fs_bg_flags_test(fs_, group, EXT2_BG_INODE_UNINIT)) return 0;
    return all - std::min<uint64_t>(all, ext2fs_bg_itable_unused(fs_, group));
  }

  Result<void> ScanInodes(dgrp_t group) {
    const uint64_t count = InodesOf(group);
    if (count == 0) return {};
    const uint64_t inode_bytes = EXT2_INODE_SIZE(fs_->super);
    const uint64_t table = ext2fs_inode_table_loc(fs_, group);
    const uint64_t table_blocks = DivideRoundUp(count * inode_bytes, fs_->blocksize);
    Add(table, table_blocks);
    if (table >= ext2fs_blocks_count(fs_->super)) return {};
    const uint64_t base = table * fs_->blocksize;
    std::vector<std::byte> chunk;
    for (uint64_t done = 0; done < count;) {
      const uint64_t part = std::min(count - done, kChunkBytes / inode_bytes);
      chunk.resize(part * inode_bytes);
      // A table that leaves the device has been clipped above.
      if (!device_.Read(base + done * inode_bytes, chunk)) return {};
      for (uint64_t i = 0; i < part; ++i) {
        const uint64_t number = uint64_t{group} * fs_->super->s_inodes_per_group + done + i + 1;
        TRY(AddInode(number, ConstBytes(chunk).subspan(i * inode_bytes, inode_bytes)));
      }
      done += part;
    }
    return {};
  }

  Result<void> AddInode(uint64_t number, ConstBytes raw) {
    RawInode inode;
    inode.number = static_cast<ext2_ino_t>(number);
    inode.disk_bytes = raw.size();
    inode.bytes.assign(raw.begin(), raw.end());
    inode.bytes.resize(std::max(raw.size(), sizeof(ext2_inode_large)));
    const ext2_inode_large& fields = inode.large();
    const bool deleted = fields.i_links_count == 0 && fields.i_dtime != 0;
    if (deleted || (fields.i_mode == 0 && number >= EXT2_FIRST_INODE(fs_->super))) return {};
    if (const blk64_t block = ext2fs_file_acl_block(fs_, inode.basic()); block != 0) Add(block, 1);
    AddMap(inode);
    return {};
  }

  // A map that fits into the inode has no blocks of its own.
  [[nodiscard]] static bool FitsIntoInode(const RawInode& inode) {
    if (inode.Has(EXT4_EXTENTS_FL)) return LoadLe<uint16_t>(inode.block_area(), 6) == 0;
    const auto& block = inode.large().i_block;
    return block[EXT2_IND_BLOCK] == 0 && block[EXT2_DIND_BLOCK] == 0 && block[EXT2_TIND_BLOCK] == 0;
  }

  enum class Content : uint8_t { kNone, kFirstBlock, kAll };

  [[nodiscard]] Content ContentNeeded(const RawInode& inode) const {
    const ext2_super_block& super = *fs_->super;
    if (inode.number == super.s_journal_inum) return Content::kFirstBlock;
    if (inode.number == super.s_usr_quota_inum || inode.number == super.s_grp_quota_inum ||
        inode.number == super.s_prj_quota_inum || inode.number == super.s_orphan_file_inum ||
        inode.Has(EXT4_EA_INODE_FL)) {
      return Content::kAll;
    }
    const uint32_t kind = inode.large().i_mode & LINUX_S_IFMT;
    return kind == LINUX_S_IFDIR || kind == LINUX_S_IFLNK ? Content::kAll : Content::kNone;
  }

  void AddMap(const RawInode& inode) {
    const Content content = ContentNeeded(inode);
    if (content == Content::kNone && FitsIntoInode(inode)) return;
    const Result<FileMap> map = MapInode(fs_, volume_.io(), inode);
    if (!map) return;
    for (const uint64_t block : map->metadata_blocks) Add(block, 1);
    if (content == Content::kNone) return;
    for (const FileExtent& extent : map->extents) {
      Add(extent.physical, content == Content::kFirstBlock ? 1 : extent.length);
      if (content == Content::kFirstBlock) return;
    }
  }

  SyncDevice& device_;
  Ext4Volume& volume_;
  ext2_filsys fs_;
  std::vector<ByteRange> ranges_;
};

Result<void> WriteAt(int fd, uint64_t offset, ConstBytes data) {
  while (!data.empty()) {
    const ssize_t put = ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return ErrnoError(errno, "writing the copy for the file system check");
    data = data.subspan(static_cast<size_t>(put));
    offset += static_cast<uint64_t>(put);
  }
  return {};
}

// Leaves holes for pieces of zeroes.
Result<void> WriteStored(int fd, uint64_t offset, ConstBytes data) {
  const auto is_stored = [&](size_t at) {
    return at < data.size() && !IsZero(data.subspan(at, std::min(kPieceBytes, data.size() - at)));
  };
  for (size_t at = 0; at < data.size();) {
    size_t end = at;
    while (is_stored(end)) end += kPieceBytes;
    end = std::min(end, data.size());
    if (end != at) TRY(WriteAt(fd, offset + at, data.subspan(at, end - at)));
    at = end + kPieceBytes;  // the piece there is none of, or not stored
  }
  return {};
}

Result<void> CopyRange(SyncDevice& device, ByteRange range, int fd) {
  std::vector<std::byte> chunk(std::min(range.length, kChunkBytes));
  while (!range.empty()) {
    const Bytes part = Bytes(chunk).first(std::min<uint64_t>(chunk.size(), range.length));
    TRY(device.Read(range.offset, part));
    TRY(WriteStored(fd, range.offset, part));
    range = RangeBetween(range.offset + part.size(), range.end());
  }
  return {};
}

}  // namespace

Result<std::vector<ByteRange>> FindMetadata(SyncDevice& device, Ext4Volume& volume) {
  const uint64_t block_bytes = volume.fs()->blocksize;
  Collector collector(device, volume);
  TRY(collector.Run());
  std::vector<ByteRange> ranges = collector.TakeRanges();
  for (ByteRange& range : ranges) {
    range = {range.offset * block_bytes, range.length * block_bytes};
  }
  return ranges;
}

Result<void> CopyRanges(SyncDevice& device, const std::vector<ByteRange>& ranges, int fd) {
  for (const ByteRange& range : ranges) TRY(CopyRange(device, range, fd));
  return {};
}

}  // namespace mica::guest
