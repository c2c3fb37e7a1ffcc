// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/file_map.h"

#include <fmt/format.h>

#include <memory>

#include "engine/base/checked_math.h"

namespace mica::guest {

namespace {

Error Corrupt(const RawInode& inode, std::string_view what) {
  return Error{Errc::kCorrupt, fmt::format("block map of inode {}: {}", inode.number, what)};
}

// Appends to a map and checks what both forms have in common.
class MapBuilder {
 public:
  MapBuilder(ext2_filsys fs, const RawInode& inode)
      : inode_(inode),
        first_(fs->super->s_first_data_block),
        end_(ext2fs_blocks_count(fs->super)) {}

  Result<void> AddExtent(FileExtent extent) {
    if (extent.length == 0) return {};
    TRY(CheckBlocks(extent.physical, extent.length));
    const auto logical_end = CheckedAdd(extent.logical, extent.length);
    if (!logical_end) return Corrupt(inode_, "an extent wraps");
    std::vector<FileExtent>& extents = map_.extents;
    if (!extents.empty()) {
      FileExtent& last = extents.back();
      if (extent.logical < last.end())
        return Corrupt(inode_, "extents overlap or are out of order");
      if (extent.logical == last.end() && extent.physical == last.physical + last.length &&
          extent.unwritten == last.unwritten) {
        last.length += extent.length;
        return {};
      }
    }
    extents.push_back(extent);
    return {};
  }

  Result<void> AddMetadata(uint64_t block) {
    TRY(CheckBlocks(block, 1));
    map_.metadata_blocks.push_back(block);
    return {};
  }

  FileMap Take() { return std::move(map_); }

 private:
  // A file cannot have more blocks than the volume: that bounds every loop, whatever the map says.
  Result<void> CheckBlocks(uint64_t block, uint64_t count) {
    if (block < first_ || block >= end_ || count > end_ - block) {
      return Corrupt(inode_, fmt::format("block {} lies outside the file system", block));
    }
    blocks_ += count;
    if (blocks_ > end_) return Corrupt(inode_, "more blocks than the file system has");
    return {};
  }

  const RawInode& inode_;
  uint64_t first_;
  uint64_t end_;
  uint64_t blocks_ = 0;
  FileMap map_;
};

struct FreeExtentHandle {
  void operator()(ext2_extent_handle* handle) const noexcept { ext2fs_extent_free(handle); }
};

// The first logical block that may still appear at each level. Entries of one level must ascend,
// and lie inside what their parent covers, so no node can be visited twice with entries in it.
class OrderCheck {
 public:
  explicit OrderCheck(const RawInode& inode) : inode_(inode) {}

  Result<void> Visit(int level, uint64_t logical) {
    if (level < 0 || level >= kLevelsMax) return Corrupt(inode_, "the extent tree is too deep");
    if (logical < next_[level]) return Corrupt(inode_, "extents are out of order");
    if (level > 0 && logical < current_[level - 1]) {
      return Corrupt(inode_, "an extent starts before its index entry");
    }
    next_[level] = logical + 1;
    current_[level] = logical;
    return {};
  }

 private:
  static constexpr int kLevelsMax = 8;
  const RawInode& inode_;
  uint64_t next_[kLevelsMax] = {};
  uint64_t current_[kLevelsMax] = {};
};

Result<void> MapExtentTree(ext2_filsys fs, IoManager& io, const RawInode& inode,
                           MapBuilder& builder) {
  RawInode copy = inode;  // the handle wants one it may change
  ext2_extent_handle_t opened = nullptr;
  errcode_t code = ext2fs_extent_open2(fs, inode.number, copy.basic(), &opened);
  const auto action = [&] { return fmt::format("extent tree of inode {}", inode.number); };
  if (code != 0) return Ext2Error(io, code, action());
  const std::unique_ptr<ext2_extent_handle, FreeExtentHandle> handle(opened);
  OrderCheck order(inode);
  ext2fs_extent extent{};
  code = ext2fs_extent_get(handle.get(), EXT2_EXTENT_ROOT, &extent);
  for (; code == 0; code = ext2fs_extent_get(handle.get(), EXT2_EXTENT_NEXT, &extent)) {
    if ((extent.e_flags & EXT2_EXTENT_FLAGS_SECOND_VISIT) != 0) continue;
    ext2_extent_info info{};
    if (ext2fs_extent_get_info(handle.get(), &info) != 0) return Corrupt(inode, "unreadable node");
    TRY(order.Visit(info.curr_level, extent.e_lblk));
    if ((extent.e_flags & EXT2_EXTENT_FLAGS_LEAF) == 0) {
      TRY(builder.AddMetadata(extent.e_pblk));
      continue;
    }
    FileExtent mapped{extent.e_lblk, extent.e_pblk, extent.e_len, false};
    mapped.unwritten = (extent.e_flags & EXT2_EXTENT_FLAGS_UNINIT) != 0;
    TRY(builder.AddExtent(mapped));
  }
  if (code == EXT2_ET_EXTENT_NO_NEXT || code == EXT2_ET_NO_CURRENT_NODE) return {};
  return Ext2Error(io, code, action());
}

// Maps of ext2 and ext3: 12 direct blocks, then trees of one, two and three levels.
class IndirectWalk {
 public:
  IndirectWalk(ext2_filsys fs, IoManager& io, const RawInode& inode, MapBuilder& builder)
      : fs_(fs), io_(io), inode_(inode), builder_(builder), per_block_(fs->blocksize / 4) {}

  Result<void> Run() {
    const auto& roots = inode_.large().i_block;
    uint64_t logical = 0;
    for (; logical < EXT2_NDIR_BLOCKS; ++logical) TRY(Leaf(logical, roots[logical]));
    uint64_t span = per_block_;
    for (int depth = 1; depth <= 3; ++depth) {
      TRY(Tree(logical, roots[EXT2_NDIR_BLOCKS + depth - 1], depth));
      logical += span;
      span *= per_block_;
    }
    return {};
  }

 private:
  Result<void> Leaf(uint64_t logical, uint32_t block) {
    if (block == 0) return {};
    return builder_.AddExtent({logical, block, 1, false});
  }

  Result<void> Tree(uint64_t logical, uint32_t block, int depth) {
    if (block == 0) return {};
    TRY(builder_.AddMetadata(block));
    std::vector<uint32_t> entries(per_block_);
    const errcode_t code = ext2fs_read_ind_block(fs_, block, entries.data());
    if (code != 0) return Ext2Error(io_, code, fmt::format("indirect block {}", block));
    uint64_t span = 1;
    for (int i = 1; i < depth; ++i) span *= per_block_;
    for (const uint32_t entry : entries) {
      TRY(depth == 1 ? Leaf(logical, entry) : Tree(logical, entry, depth - 1));
      logical += span;
    }
    return {};
  }

  ext2_filsys fs_;
  IoManager& io_;
  const RawInode& inode_;
  MapBuilder& builder_;
  uint64_t per_block_;
};

}  // namespace

bool HasBlockMap(const RawInode& inode) noexcept {
  const uint32_t kind = inode.large().i_mode & LINUX_S_IFMT;
  if (inode.Has(EXT4_INLINE_DATA_FL)) return false;
  if (kind == LINUX_S_IFREG || kind == LINUX_S_IFDIR) return true;
  return kind == LINUX_S_IFLNK && inode.size() >= sizeof inode.large().i_block;
}

Result<FileMap> MapInode(ext2_filsys fs, IoManager& io, const RawInode& inode) {
  MapBuilder builder(fs, inode);
  if (!HasBlockMap(inode)) return builder.Take();
  if (inode.Has(EXT4_EXTENTS_FL)) {
    TRY(MapExtentTree(fs, io, inode, builder));
  } else {
    IndirectWalk walk(fs, io, inode, builder);
    TRY(walk.Run());
  }
  return builder.Take();
}

}  // namespace mica::guest
