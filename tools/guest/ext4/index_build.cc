// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>
#include <limits>
#include <unordered_map>
#include <utility>

#include "tools/guest/ext4/file_map.h"
#include "tools/guest/ext4/index.h"
#include "tools/guest/ext4/index_dirents.h"
#include "tools/guest/ext4/xattr_reader.h"

namespace mica::guest {
namespace {

constexpr uint64_t kReadBytes = uint64_t{1} << 20;
constexpr uint64_t kMax32 = std::numeric_limits<uint32_t>::max();

Error TooLarge() {
  return {Errc::kLimit, "the volume is too large for a 32-bit index"};
}

}  // namespace

class IndexBuilder {
 public:
  explicit IndexBuilder(const Ext4Blocks& blocks) : blocks_(blocks) {
    index_.shape_ = ShapeOf(blocks);
  }

  Result<Ext4Index> Build() {
    for (const InodeTable& table : blocks_.tables()) TRY(ScanTable(table));
    TRY(SortExtents());
    TRY(ReadDirectories());
    SortNames();
    std::ranges::sort(index_.value_owners_);
    index_.extents_.shrink_to_fit();
    index_.names_.shrink_to_fit();
    index_.leaf_bytes_.shrink_to_fit();
    return std::move(index_);
  }

 private:
  Result<void> ScanTable(const InodeTable& table);
  Result<void> AddInode(const RawInode& inode);
  Result<void> AddMapping(const RawInode& inode, BlockUse use);
  Result<void> AddExtent(IndexExtent extent);
  Result<void> AddNames(uint32_t parent, const std::vector<Dirent>& entries);
  Result<void> SortExtents();
  Result<void> ReadDirectories();
  void SortNames();

  const Ext4Blocks& blocks_;
  Ext4Index index_;
  std::unordered_map<uint32_t, RawInode> directories_;  // to be read in the order of the disk
};

Result<void> IndexBuilder::ScanTable(const InodeTable& table) {
  const uint32_t inode_bytes = blocks_.inode_bytes();
  const uint32_t per_block = blocks_.block_bytes() / inode_bytes;
  const uint32_t at_once = static_cast<uint32_t>(kReadBytes / blocks_.block_bytes()) * per_block;
  std::vector<std::byte> chunk;
  for (uint32_t at = 0; at < table.inodes_live; at += at_once) {
    const uint32_t count = std::min(at_once, table.inodes_live - at);
    chunk.resize(uint64_t{(count + per_block - 1) / per_block} * blocks_.block_bytes());
    TRY(blocks_.Read(table.first_block + at / per_block, chunk));
    for (uint32_t i = 0; i < count; ++i) {
      const ConstBytes bytes = ConstBytes(chunk).subspan(size_t{i} * inode_bytes, inode_bytes);
      if (LoadLe<uint16_t>(bytes, offsetof(ext2_inode, i_links_count)) == 0) continue;
      const uint32_t number = table.first_inode + at + i;
      auto added = AddInode(blocks_.InodeFrom(number, bytes));
      if (!added) return std::move(added).error().WithContext(fmt::format("inode {}", number));
    }
  }
  return {};
}

Result<void> IndexBuilder::AddInode(const RawInode& inode) {
  if (!IsObject(inode) && !IsValueInode(inode)) return {};
  if (IsInternalInode(*blocks_.fs()->super, inode.number)) return {};
  const bool directory = IsDirectory(inode);
  if (directory) {
    TRY(CheckDirectory(inode));
    directories_.emplace(inode.number, inode);
  }
  TRY(AddMapping(inode, directory ? BlockUse::kDirectory : BlockUse::kContent));
  const uint64_t xattr_block = ext2fs_file_acl_block(blocks_.fs(), inode.basic());
  if (xattr_block != 0) {
    TRY(AddExtent({xattr_block, 1, inode.number, 0, BlockUse::kXattr}));
  }
  if (ext2fs_has_feature_ea_inode(blocks_.fs()->super) != 0) {
    ASSIGN(const std::vector<RawXattr> xattrs, ReadRawXattrs(blocks_.fs(), blocks_.io(), inode));
    for (const RawXattr& xattr : xattrs) {
      if (xattr.value_inode == 0) continue;
      index_.value_owners_.push_back({xattr.value_inode, inode.number});
    }
  }
  return {};
}

Result<void> IndexBuilder::AddMapping(const RawInode& inode, BlockUse use) {
  ASSIGN(const FileMap map, MapInode(blocks_.fs(), blocks_.io(), inode));
  for (const FileExtent& extent : map.extents) {
    // What lies in unwritten blocks is nobody's content.
    if (extent.unwritten) continue;
    if (extent.end() > kMax32) return TooLarge();
    TRY(AddExtent({extent.physical, static_cast<uint32_t>(extent.length), inode.number,
                   static_cast<uint32_t>(extent.logical), use}));
  }
  for (const uint64_t block : map.metadata_blocks) {
    TRY(AddExtent({block, 1, inode.number, 0, BlockUse::kMapping}));
  }
  return {};
}

Result<void> IndexBuilder::AddExtent(IndexExtent extent) {
  if (!blocks_.Contains({extent.block, extent.length})) {
    return Error{Errc::kCorrupt,
                 fmt::format("block {} of a volume of {}", extent.block, blocks_.block_count())};
  }
  index_.extents_.push_back(extent);
  return {};
}

Result<void> IndexBuilder::AddNames(uint32_t parent, const std::vector<Dirent>& entries) {
  for (const Dirent& entry : entries) {
    if (index_.leaf_bytes_.size() > kMax32 - 256) return TooLarge();
    index_.names_.push_back(
        {entry.inode, parent, static_cast<uint32_t>(index_.leaf_bytes_.size())});
    index_.leaf_bytes_.push_back(static_cast<char>(entry.leaf.size()));
    index_.leaf_bytes_ += entry.leaf;
  }
  return {};
}

Result<void> IndexBuilder::SortExtents() {
  auto& extents = index_.extents_;
  std::ranges::sort(extents, {}, [](const IndexExtent& e) { return std::pair(e.block, e.inode); });
  for (size_t i = 1; i < extents.size(); ++i) {
    const IndexExtent& one = extents[i - 1];
    const IndexExtent& two = extents[i];
    if (one.end() <= two.block) continue;
    if (one.use == BlockUse::kXattr && two.use == BlockUse::kXattr) continue;
    return Error{Errc::kCorrupt, fmt::format("block {} belongs to inode {} and to inode {}",
                                             two.block, one.inode, two.inode)};
  }
  return {};
}

Result<void> IndexBuilder::ReadDirectories() {
  std::vector<Dirent> entries;
  for (const auto& [number, inode] : directories_) {
    if (!inode.Has(EXT4_INLINE_DATA_FL)) continue;
    ASSIGN(entries, ReadEntries(blocks_, inode));
    TRY(AddNames(number, entries));
  }
  for (const IndexExtent& extent : index_.extents_) {
    if (extent.use != BlockUse::kDirectory) continue;
    entries.clear();
    const RawInode& inode = directories_.at(extent.inode);
    TRY(AppendEntries(blocks_, inode, {extent.block, extent.length}, entries));
    TRY(AddNames(extent.inode, entries));
  }
  directories_.clear();
  return {};
}

void IndexBuilder::SortNames() {
  std::ranges::sort(index_.names_, [this](const auto& a, const auto& b) {
    if (a.child != b.child) return a.child < b.child;
    if (a.parent != b.parent) return a.parent < b.parent;
    return index_.LeafAt(a.leaf) < index_.LeafAt(b.leaf);
  });
}

Result<Ext4Index> BuildIndex(ext2_filsys fs, IoManager& io) {
  ASSIGN(const Ext4Blocks blocks, Ext4Blocks::Open(fs, io));
  return IndexBuilder(blocks).Build();
}

}  // namespace mica::guest
