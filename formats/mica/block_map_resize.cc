// SPDX-License-Identifier: Apache-2.0
// BlockMap: a disk of another size.
#include "formats/mica/block_map.h"
#include "formats/mica/block_map_parts.h"

namespace mica::native {

void BlockMap::Grow(uint64_t block_count) {
  MICA_CHECK(block_count >= block_count_);
  block_count_ = block_count;
}

Async<void> BlockMap::Cut(uint64_t block_count) {
  MICA_CHECK(block_count < block_count_ && dirty_roots_.empty());
  if (block_count % kBlocksPerRoot != 0) {
    // The parts that the border runs through.
    CO_ASSIGN(const Found border, co_await Find(block_count));
    if (border.kind == Found::Kind::kLeaf && block_count % kBlocksPerLeaf != 0) {
      const auto first = static_cast<uint32_t>(block_count % kBlocksPerLeaf);
      const LeafEntry absent;
      Change(block_count, [&](Leaf& leaf) { leaf.SetRange(first, kBlocksPerLeaf, absent); });
    }
    if (Region* const region = FindRegion(block_count)) CutRegion(*region, block_count);
    CutRoot(block_count);
  }
  for (uint64_t i = DivideRoundUp(block_count, kBlocksPerRoot); i < kRootsMax; ++i) {
    Root& root = roots_[i];
    if (root.disk.slot == 0) continue;
    root.pointers.clear();
    root.regions.clear();
    root.region_loading.clear();
    root.loaded = true;
    MarkRootDirty(static_cast<uint32_t>(i));
  }
  block_count_ = block_count;
  co_return Result<void>();
}

// Drops the leaves of the region that lie beyond.
void BlockMap::CutRegion(Region& region, uint64_t block_count) {
  const uint64_t cost_before = Cost(region);
  const uint64_t in_region = block_count - region.index * kBlocksPerRegion;
  for (uint64_t i = DivideRoundUp(in_region, kBlocksPerLeaf); i < kLeavesPerRegion; ++i) {
    std::unique_ptr<Node>& node = region.nodes[i];
    if (node == nullptr) continue;
    region.item_bytes -= node->item_bytes;
    memory_bytes_ -= sizeof(Node) + (node->leaf == nullptr ? 0 : node->leaf->MemoryBytes());
    node.reset();
  }
  MarkDirty(region);
  checkpoint_slots_ += Cost(region) - cost_before;
}

// Drops the regions of the border's root that lie beyond.
void BlockMap::CutRoot(uint64_t block_count) {
  const auto root_index = static_cast<uint32_t>(block_count / kBlocksPerRoot);
  Root& root = roots_[root_index];
  const uint64_t in_root = block_count % kBlocksPerRoot;
  for (uint64_t i = DivideRoundUp(in_root, kBlocksPerRegion); i < root.pointers.size(); ++i) {
    root.pointers[i] = RegionPointer{};
    root.regions[i].reset();
  }
  MarkRootDirty(root_index);
}

}  // namespace mica::native
