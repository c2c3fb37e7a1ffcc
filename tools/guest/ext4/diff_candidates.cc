// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/diff_candidates.h"

#include <fmt/core.h>

#include <algorithm>

#include "tools/guest/ext4/index_inode.h"

namespace mica::guest {
namespace {

constexpr uint32_t kReadBytes = uint32_t{1} << 20;

Error NotOneLayout(std::string_view what) {
  return {Errc::kMismatch, fmt::format("the volumes do not have one layout: {}", what)};
}

// A guest may have grown its volume: further groups are allowed.
Result<void> CheckLayout(const DiffSides& sides) {
  if (ShapeOf(sides.before) != sides.index.shape()) {
    return NotOneLayout("the index belongs to another volume");
  }
  const VolumeShape before = ShapeOf(sides.before);
  const VolumeShape after = ShapeOf(sides.after);
  if (before.block_bytes != after.block_bytes || before.inode_bytes != after.inode_bytes ||
      before.inodes_per_group != after.inodes_per_group || before.inode_count > after.inode_count) {
    return NotOneLayout("blocks or inodes have another size or number");
  }
  for (size_t group = 0; group < sides.before.tables().size(); ++group) {
    if (sides.before.tables()[group].first_block != sides.after.tables()[group].first_block) {
      return NotOneLayout(fmt::format("the inode table of group {} has moved", group));
    }
  }
  return {};
}

class Finder {
 public:
  explicit Finder(const DiffSides& sides) : sides_(sides) {}

  Result<Candidates> Find() {
    for (size_t group = 0; group < sides_.after.tables().size(); ++group) TRY(CompareTable(group));
    for (const BlockSpan& run : sides_.touched.runs()) TRY(FindOwners(run));
    TRY(SortOutContent());
    for (const uint32_t inode : found_.inodes) {
      found_.directories.erase(inode);
      found_.content.erase(inode);
    }
    return std::move(found_);
  }

 private:
  // Places in a table: [first, end).
  struct Places {
    uint32_t first = 0;
    uint32_t end = 0;
  };

  Result<void> CompareTable(size_t group);
  Result<void> ComparePlaces(const InodeTable& before, const InodeTable& after, Places places);
  Result<void> Read(const Ext4Blocks& volume, const InodeTable& table, Places places,
                    std::vector<std::byte>& to) const;
  void Compare(uint32_t inode, ConstBytes before, ConstBytes after);
  void AddInode(uint32_t inode);
  Result<void> FindOwners(BlockSpan run);
  Result<void> CompareXattrBlock(const IndexExtent& extent);
  void AddContent(const IndexExtent& extent, BlockSpan run);
  Result<void> SortOutContent();

  const DiffSides& sides_;
  Candidates found_;
  uint64_t xattr_block_ = 0;  // compared last
  bool xattr_block_differs_ = false;
};

Result<void> Finder::CompareTable(size_t group) {
  const InodeTable& after = sides_.after.tables()[group];
  InodeTable before = after;
  before.inodes_live = 0;
  if (group < sides_.before.tables().size()) before = sides_.before.tables()[group];
  // What is live in one version only is compared wherever it lies.
  const Places live_in_one{std::min(before.inodes_live, after.inodes_live),
                           std::max(before.inodes_live, after.inodes_live)};
  TRY(ComparePlaces(before, after, live_in_one));
  const uint32_t per_block = sides_.after.block_bytes() / sides_.after.inode_bytes();
  const BlockSpan table{after.first_block, DivideRoundUp(live_in_one.first, per_block)};
  for (const BlockSpan& run : sides_.touched.Within(table)) {
    const auto first = static_cast<uint32_t>(run.first - table.first) * per_block;
    const auto count = static_cast<uint32_t>(run.count) * per_block;
    TRY(ComparePlaces(before, after, {first, std::min(first + count, live_in_one.first)}));
  }
  return {};
}

Result<void> Finder::ComparePlaces(const InodeTable& before, const InodeTable& after,
                                   Places places) {
  const uint32_t inode_bytes = sides_.after.inode_bytes();
  const uint32_t at_once = kReadBytes / inode_bytes;
  std::vector<std::byte> old_bytes;
  std::vector<std::byte> new_bytes;
  for (uint32_t first = places.first; first < places.end; first += at_once) {
    const Places part{first, std::min(first + at_once, places.end)};
    TRY(Read(sides_.before, before, part, old_bytes));
    TRY(Read(sides_.after, after, part, new_bytes));
    for (uint32_t at = part.first; at < part.end; ++at) {
      const size_t offset = size_t{at - part.first} * inode_bytes;
      Compare(after.first_inode + at, ConstBytes(old_bytes).subspan(offset, inode_bytes),
              ConstBytes(new_bytes).subspan(offset, inode_bytes));
    }
  }
  return {};
}

// Inodes beyond the live part read zero.
Result<void> Finder::Read(const Ext4Blocks& volume, const InodeTable& table, Places places,
                          std::vector<std::byte>& to) const {
  const uint64_t inode_bytes = volume.inode_bytes();
  to.assign((places.end - places.first) * inode_bytes, std::byte{0});
  const uint32_t end = std::min(places.end, table.inodes_live);
  if (places.first >= end) return {};
  const uint64_t block_bytes = volume.block_bytes();
  const uint64_t first_block = places.first * inode_bytes / block_bytes;
  const uint64_t end_block = DivideRoundUp(end * inode_bytes, block_bytes);
  std::vector<std::byte> blocks((end_block - first_block) * block_bytes);
  TRY(volume.Read(table.first_block + first_block, blocks));
  const auto from =
      ConstBytes(blocks).subspan(places.first * inode_bytes - first_block * block_bytes);
  std::ranges::copy(from.first((end - places.first) * inode_bytes), to.begin());
  return {};
}

void Finder::Compare(uint32_t inode, ConstBytes before, ConstBytes after) {
  constexpr size_t kLinks = offsetof(ext2_inode, i_links_count);
  if (LoadLe<uint16_t>(before, kLinks) == 0 && LoadLe<uint16_t>(after, kLinks) == 0) return;
  if (DiffersInSubstance(before, after)) AddInode(inode);
}

void Finder::AddInode(uint32_t inode) {
  found_.inodes.insert(inode);
  // If it holds the value of an attribute, those that use it differ.
  for (const uint32_t owner : sides_.index.OwnersOfValue(inode)) found_.inodes.insert(owner);
}

Result<void> Finder::FindOwners(BlockSpan run) {
  Result<void> outcome;
  sides_.index.ForEachOwner(run, [&](const IndexExtent& extent) {
    switch (extent.use) {
      case BlockUse::kContent:
        return AddContent(extent, run);
      case BlockUse::kDirectory:
        found_.directories.insert(extent.inode);
        return;
      case BlockUse::kMapping:
        return AddInode(extent.inode);
      case BlockUse::kXattr:
        if (outcome) outcome = CompareXattrBlock(extent);
        return;
    }
  });
  return outcome;
}

// A block that many inodes share changes its reference count often and its content hardly ever.
Result<void> Finder::CompareXattrBlock(const IndexExtent& extent) {
  if (extent.block != xattr_block_) {
    std::vector<std::byte> before(sides_.before.block_bytes());
    std::vector<std::byte> after(sides_.before.block_bytes());
    TRY(sides_.before.Read(extent.block, before));
    TRY(sides_.after.Read(extent.block, after));
    xattr_block_ = extent.block;
    xattr_block_differs_ = XattrBlockDiffers(before, after);
  }
  if (xattr_block_differs_) AddInode(extent.inode);
  return {};
}

void Finder::AddContent(const IndexExtent& extent, BlockSpan run) {
  const uint64_t first = std::max(extent.block, run.first);
  const uint64_t end = std::min(extent.end(), run.end());
  const uint64_t block_bytes = sides_.before.block_bytes();
  found_.content[extent.inode].push_back(
      {(extent.logical + (first - extent.block)) * block_bytes, (end - first) * block_bytes});
}

// Content of symlinks and of attribute values is compared as a whole.
Result<void> Finder::SortOutContent() {
  std::vector<uint32_t> whole;
  for (const auto& [number, ranges] : found_.content) {
    if (found_.inodes.contains(number)) continue;
    ASSIGN(const RawInode inode, sides_.before.ReadInode(number));
    if (!IsRegular(inode)) whole.push_back(number);
  }
  for (const uint32_t inode : whole) AddInode(inode);
  return {};
}

}  // namespace

Result<Candidates> FindCandidates(const DiffSides& sides) {
  TRY(CheckLayout(sides));
  return Finder(sides).Find();
}

}  // namespace mica::guest
