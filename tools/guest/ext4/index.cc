// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/index.h"

#include <algorithm>
#include <limits>

namespace mica::guest {

VolumeShape ShapeOf(const Ext4Blocks& blocks) {
  return {.block_bytes = blocks.block_bytes(),
          .inode_bytes = blocks.inode_bytes(),
          .inodes_per_group = blocks.inodes_per_group(),
          .inode_count = blocks.inode_count(),
          .block_count = blocks.block_count()};
}

uint64_t Ext4Index::memory_bytes() const noexcept {
  return extents_.capacity() * sizeof(IndexExtent) + names_.capacity() * sizeof(NameRow) +
         leaf_bytes_.capacity() + value_owners_.capacity() * sizeof(ValueOwner);
}

void Ext4Index::ForEachOwner(BlockSpan run,
                             const std::function<void(const IndexExtent&)>& visit) const {
  // Only xattr blocks, one block long, are shared; so both ends are in ascending order.
  auto extent = std::ranges::upper_bound(extents_, run.first, {}, &IndexExtent::end);
  for (; extent != extents_.end() && extent->block < run.end(); ++extent) visit(*extent);
}

std::string_view Ext4Index::LeafAt(uint32_t offset) const noexcept {
  const auto length = static_cast<uint8_t>(leaf_bytes_[offset]);
  return std::string_view(leaf_bytes_).substr(offset + 1, length);
}

std::vector<IndexName> Ext4Index::NamesOf(uint32_t inode) const {
  std::vector<IndexName> names;
  for (const NameRow& row : std::ranges::equal_range(names_, inode, {}, &NameRow::child)) {
    names.push_back({row.parent, LeafAt(row.leaf)});
  }
  return names;
}

std::vector<TargetName> Ext4Index::AllNamesOf(uint64_t inode) const {
  std::vector<TargetName> names;
  if (inode > std::numeric_limits<uint32_t>::max()) return names;
  for (const IndexName& name : NamesOf(static_cast<uint32_t>(inode))) {
    names.push_back({name.parent, std::string(name.leaf)});
  }
  return names;
}

std::vector<uint32_t> Ext4Index::OwnersOfValue(uint32_t value) const {
  std::vector<uint32_t> owners;
  for (const ValueOwner& row :
       std::ranges::equal_range(value_owners_, value, {}, &ValueOwner::value)) {
    owners.push_back(row.owner);
  }
  return owners;
}

}  // namespace mica::guest
