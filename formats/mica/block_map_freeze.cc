// SPDX-License-Identifier: Apache-2.0
// BlockMap: handing changes to a checkpoint and taking the outcome back.
#include <algorithm>

#include "formats/mica/block_map.h"
#include "formats/mica/block_map_parts.h"

namespace mica::native {

FrozenMap BlockMap::Freeze(uint32_t epoch, uint32_t kept_epoch) {
  FrozenMap frozen;
  frozen.epoch = epoch;
  frozen.slots_max = checkpoint_slots_;
  for (const uint32_t index : dirty_regions_) {
    FreezeRegion(*FindRegion(index * kBlocksPerRegion), kept_epoch, frozen);
  }
  for (const uint32_t index : dirty_roots_) {
    FrozenRoot root;
    root.index = index;
    root.block = roots_[index].pointers;
    frozen.roots.push_back(std::move(root));
    const RootPointer& disk = roots_[index].disk;
    if (disk.slot != 0 && disk.birth > kept_epoch) {
      frozen.replaced.push_back(SlotRun{disk.slot, 1});
    }
  }
  dirty_regions_.clear();
  dirty_roots_.clear();
  checkpoint_slots_ = 0;
  for (const FrozenRegion& taken : frozen.regions) {
    Region& region = *FindRegion(taken.index * kBlocksPerRegion);
    if (region.users == 0) continue;
    // A write in flight will change it without asking for space again.
    MarkDirty(region);
    checkpoint_slots_ += Cost(region);
  }
  return frozen;
}

void BlockMap::FreezeRegion(Region& region, uint32_t kept_epoch, FrozenMap& frozen) {
  FrozenRegion taken;
  taken.index = region.index;
  for (uint32_t i = 0; i < kLeavesPerRegion; ++i) {
    Node* const node = region.nodes[i].get();
    if (node == nullptr) continue;
    if (node->dirty) {
      taken.changed.push_back(i);
      if (node->disk.first != 0 && node->disk.birth > kept_epoch) {
        frozen.replaced.push_back(SlotRun{node->disk.first, 1});
        frozen.replaced.push_back(SlotRun{node->disk.second, 1});
      }
      if (node->leaf->present() > 0) taken.items.push_back(RegionItem{i, node->leaf, {}});
      node->dirty = false;
      node->writing = true;
    } else if (node->disk.first != 0) {
      taken.items.push_back(RegionItem{i, nullptr, node->disk});
    } else if (node->leaf->present() > 0) {
      taken.items.push_back(RegionItem{i, node->leaf, {}});
    }
  }
  if (region.birth > kept_epoch) {
    frozen.replaced.insert(frozen.replaced.end(), region.runs.begin(), region.runs.end());
  }
  region.dirty = false;
  region.dirty_dense = 0;
  region.writing = true;
  frozen.regions.push_back(std::move(taken));
}

bool BlockMap::LiesAbove(uint64_t block, Slot slot, uint32_t kept_epoch) const {
  const auto root_index = static_cast<uint32_t>(block / kBlocksPerRoot);
  const RootPointer& root = roots_[root_index].disk;
  const bool root_above = root.slot >= slot && root.birth > kept_epoch;
  if (root_above && !dirty_roots_.contains(root_index)) return true;
  const Region* const region = FindRegion(block);
  if (region == nullptr) return false;
  const bool region_above =
      std::ranges::any_of(region->runs, [slot](const SlotRun& run) { return run.end() > slot; });
  if (region_above && !region->dirty && region->birth > kept_epoch) return true;
  const Node* const node = region->nodes[block / kBlocksPerLeaf % kLeavesPerRegion].get();
  if (node == nullptr || node->leaf == nullptr || node->dirty) return false;
  if (node->disk.birth <= kept_epoch) return false;
  return node->disk.first >= slot || node->disk.second >= slot;
}

void BlockMap::Rewrite(uint64_t block) {
  const auto root_index = static_cast<uint32_t>(block / kBlocksPerRoot);
  if (roots_[root_index].disk.slot != 0 && dirty_roots_.insert(root_index).second) {
    ++checkpoint_slots_;
  }
  Region* const region = FindRegion(block);
  if (region == nullptr) return;
  const uint64_t cost_before = Cost(*region);
  MarkDirty(*region);
  Node* const node = region->nodes[block / kBlocksPerLeaf % kLeavesPerRegion].get();
  if (node != nullptr && node->leaf != nullptr && !node->dirty) {
    node->dirty = true;
    if (node->DirtyDense()) ++region->dirty_dense;
  }
  checkpoint_slots_ += Cost(*region) - cost_before;
}

void BlockMap::Drop(uint64_t block) {
  const auto root_index = static_cast<uint32_t>(block / kBlocksPerRoot);
  Root& root = roots_[root_index];
  if (dirty_roots_.insert(root_index).second) ++checkpoint_slots_;
  if (!root.loaded) {
    root.disk = RootPointer{};
    root.loaded = true;
    return;
  }
  Region* const region = FindRegion(block);
  if (region == nullptr) {
    root.pointers[block / kBlocksPerRegion % kRegionsPerRoot] = RegionPointer{};
    return;
  }
  const uint64_t cost_before = Cost(*region);
  std::unique_ptr<Node>& node = region->nodes[block / kBlocksPerLeaf % kLeavesPerRegion];
  MICA_CHECK(node != nullptr && node->leaf == nullptr);
  region->item_bytes -= node->item_bytes;
  memory_bytes_ -= sizeof(Node);
  node.reset();
  MarkDirty(*region);
  checkpoint_slots_ += Cost(*region) - cost_before;
}

void BlockMap::Install(const FrozenMap& frozen) {
  for (const FrozenRegion& written : frozen.regions) {
    Region& region = *FindRegion(written.index * kBlocksPerRegion);
    region.writing = false;
    region.runs = written.runs;
    region.birth = frozen.epoch;
    roots_[written.index / kRegionsPerRoot].pointers[written.index % kRegionsPerRoot] =
        written.pointer;
    size_t item = 0;
    for (const uint32_t leaf_index : written.changed) {
      while (item < written.items.size() && written.items[item].leaf_index < leaf_index) ++item;
      const bool kept = item < written.items.size() && written.items[item].leaf_index == leaf_index;
      std::unique_ptr<Node>& node = region.nodes[leaf_index];
      node->writing = false;
      node->disk = kept ? written.items[item].dense : DensePointer{};
      if (node->dirty || node->leaf->present() > 0) continue;
      memory_bytes_ -= sizeof(Node) + node->leaf->MemoryBytes();
      node.reset();
    }
  }
  for (const FrozenRoot& written : frozen.roots) roots_[written.index].disk = written.pointer;
  KeepLimits();
}

void BlockMap::Return(const FrozenMap& frozen) {
  for (const FrozenRegion& taken : frozen.regions) {
    Region& region = *FindRegion(taken.index * kBlocksPerRegion);
    const uint64_t cost_before = Cost(region);
    region.writing = false;
    for (const uint32_t leaf_index : taken.changed) {
      Node& node = *region.nodes[leaf_index];
      node.writing = false;
      if (node.dirty) continue;
      node.dirty = true;
      if (node.DirtyDense()) ++region.dirty_dense;
    }
    MarkDirty(region);
    checkpoint_slots_ += Cost(region) - cost_before;
  }
}

}  // namespace mica::native
