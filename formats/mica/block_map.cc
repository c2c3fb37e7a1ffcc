// SPDX-License-Identifier: Apache-2.0
// BlockMap: lookup, change, memory. Loading is in block_map_load.cc, checkpoints are in
// block_map_freeze.cc.
#include "formats/mica/block_map.h"

#include <algorithm>

#include "formats/mica/block_map_parts.h"

namespace mica::native {

namespace {

// Clean parts of one map kept in memory, in bytes.
constexpr size_t kMemoryMax = size_t{32} << 20;

}  // namespace

BlockMap::BlockMap(EventLoop& loop, BlockFile& file, Reclaimer& reclaimer,
                   const Superblock& superblock)
    : file_(file),
      reclaimer_(reclaimer),
      tag_(superblock.Tag()),
      block_count_(superblock.BlockCount()),
      loaded_(loop) {
  roots_.resize(kRootsMax);
  for (size_t i = 0; i < kRootsMax; ++i) {
    roots_[i].disk = superblock.roots[i];
    roots_[i].loaded = roots_[i].disk.slot == 0;
  }
}

BlockMap::~BlockMap() {
  if (limit_ != nullptr) limit_->Remove(*this);
}

Slot BlockMap::RootSlot(uint32_t root_index) const {
  return roots_[root_index].disk.slot;
}

Slot BlockMap::UnloadedPart(uint64_t block) const {
  const Root& root = roots_[block / kBlocksPerRoot];
  if (!root.loaded) return root.disk.slot;
  if (root.pointers.empty()) return 0;
  const size_t in_root = block / kBlocksPerRegion % kRegionsPerRoot;
  const Region* const region = root.regions[in_root].get();
  if (region == nullptr) return root.pointers[in_root].slot;
  const Node* const node = region->nodes[block / kBlocksPerLeaf % kLeavesPerRegion].get();
  return node == nullptr || node->leaf != nullptr ? 0 : node->disk.first;
}

BlockMap::Region* BlockMap::FindRegion(uint64_t block) const {
  const Root& root = roots_[block / kBlocksPerRoot];
  if (root.regions.empty()) return nullptr;
  return root.regions[block / kBlocksPerRegion % kRegionsPerRoot].get();
}

BlockMap::Found BlockMap::Lookup(uint64_t block) {
  using Kind = Found::Kind;
  const Root& root = roots_[block / kBlocksPerRoot];
  const auto end_of = [this, block](uint64_t blocks) {
    return std::min(block_count_, (block / blocks + 1) * blocks);
  };
  if (!root.loaded) return {Kind::kMustLoad, nullptr, end_of(kBlocksPerRoot)};
  if (root.pointers.empty()) return {Kind::kAbsent, nullptr, end_of(kBlocksPerRoot)};
  const size_t in_root = block / kBlocksPerRegion % kRegionsPerRoot;
  const Region* const region = root.regions[in_root].get();
  if (region == nullptr) {
    const bool absent = root.pointers[in_root].slot == 0;
    return {absent ? Kind::kAbsent : Kind::kMustLoad, nullptr, end_of(kBlocksPerRegion)};
  }
  const Node* const node = region->nodes[block / kBlocksPerLeaf % kLeavesPerRegion].get();
  if (node == nullptr) return {Kind::kAbsent, nullptr, end_of(kBlocksPerLeaf)};
  if (node->leaf == nullptr) return {Kind::kMustLoad, nullptr, end_of(kBlocksPerLeaf)};
  return {Kind::kLeaf, node->leaf.get(), end_of(kBlocksPerLeaf)};
}

BlockMap::Region& BlockMap::MakeRegion(uint64_t block) {
  Root& root = roots_[block / kBlocksPerRoot];
  MICA_CHECK(root.loaded);
  if (root.pointers.empty()) {
    root.pointers.resize(kRegionsPerRoot);
    root.regions.resize(kRegionsPerRoot);
    root.region_loading.resize(kRegionsPerRoot);
  }
  const size_t in_root = block / kBlocksPerRegion % kRegionsPerRoot;
  std::unique_ptr<Region>& region = root.regions[in_root];
  if (region == nullptr) {
    MICA_CHECK(root.pointers[in_root].slot == 0);
    region = std::make_unique<Region>(static_cast<uint32_t>(block / kBlocksPerRegion));
    memory_bytes_ += sizeof(Region);
  }
  return *region;
}

uint64_t BlockMap::Cost(const Region& region) const noexcept {
  if (!region.dirty) return 0;
  return RegionSlots(region.item_bytes) + uint64_t{region.dirty_dense} * kDenseLeafSlots;
}

void BlockMap::MarkDirty(Region& region) {
  region.dirty = true;
  dirty_regions_.insert(region.index);
  MarkRootDirty(region.index / kRegionsPerRoot);
}

void BlockMap::MarkRootDirty(uint32_t root_index) {
  if (dirty_roots_.insert(root_index).second) ++checkpoint_slots_;
}

void BlockMap::Change(uint64_t block, const std::function<void(Leaf&)>& change) {
  Region& region = MakeRegion(block);
  std::unique_ptr<Node>& slot = region.nodes[block / kBlocksPerLeaf % kLeavesPerRegion];
  if (slot == nullptr) {
    slot = std::make_unique<Node>();
    slot->leaf = std::make_shared<Leaf>();
    memory_bytes_ += sizeof(Node) + slot->leaf->MemoryBytes();
  }
  Node& node = *slot;
  MICA_CHECK(node.leaf != nullptr);
  // A running checkpoint still needs the leaf as it was.
  if (node.leaf.use_count() > 1) node.leaf = std::make_shared<Leaf>(*node.leaf);
  const uint64_t cost_before = Cost(region);
  const size_t memory_before = node.leaf->MemoryBytes();
  if (node.DirtyDense()) --region.dirty_dense;
  change(*node.leaf);
  node.dirty = true;
  if (node.DirtyDense()) ++region.dirty_dense;
  region.item_bytes -= node.item_bytes;
  node.item_bytes = EncodedItemBytes(*node.leaf);
  region.item_bytes += node.item_bytes;
  memory_bytes_ += node.leaf->MemoryBytes() - memory_before;
  MarkDirty(region);
  checkpoint_slots_ += Cost(region) - cost_before;
}

void BlockMap::Pin(uint64_t block) {
  Region& region = MakeRegion(block);
  ++region.users;
  const uint64_t cost_before = Cost(region);
  MarkDirty(region);
  checkpoint_slots_ += Cost(region) - cost_before;
}

void BlockMap::Unpin(uint64_t block) {
  Region* const region = FindRegion(block);
  MICA_CHECK(region != nullptr && region->users > 0);
  --region->users;
}

uint64_t BlockMap::GrowthMax(uint64_t first_block, uint64_t end_block) const {
  uint64_t slots = 0;
  for (uint64_t block = first_block; block < end_block;) {
    const uint64_t next = std::min(end_block, (block / kBlocksPerRegion + 1) * kBlocksPerRegion);
    const Region* const region = FindRegion(block);
    const uint64_t leaves = (next - 1) / kBlocksPerLeaf - block / kBlocksPerLeaf + 1;
    const size_t now_bytes = region == nullptr ? 0 : region->item_bytes;
    const uint64_t now_slots = region != nullptr && region->dirty ? RegionSlots(now_bytes) : 0;
    slots += RegionSlots(now_bytes + leaves * kItemBytesMax) - now_slots;
    slots += leaves * kDenseLeafSlots + 1;  // 1: the root block
    block = next;
  }
  return slots;
}

void BlockMap::ForEachRegionRun(uint64_t block, const std::function<void(SlotRun)>& visit) const {
  const Region* const region = FindRegion(block);
  if (region == nullptr) return;
  for (const SlotRun& run : region->runs) visit(run);
  for (const std::unique_ptr<Node>& node : region->nodes) {
    if (node == nullptr || node->disk.first == 0) continue;
    visit(SlotRun{node->disk.first, 1});
    visit(SlotRun{node->disk.second, 1});
  }
}

void BlockMap::ShareLimit(std::shared_ptr<CacheLimit> limit) {
  MICA_CHECK(limit_ == nullptr);
  limit_ = std::move(limit);
  KeepLimits();
}

// After every growth that is not a change of the guest's: those stay until they are written anyway.
void BlockMap::KeepLimits() {
  if (memory_bytes_ > kMemoryMax) Trim(kMemoryMax / 4 * 3);
  if (limit_ != nullptr) limit_->Update(*this, memory_bytes_);
}

void BlockMap::Trim(size_t bytes_max) {
  const uint32_t count = kRootsMax * kRegionsPerRoot;
  for (uint32_t step = 0; step < count && memory_bytes_ > bytes_max;) {
    trim_hand_ = (trim_hand_ + 1) % count;
    Root& root = roots_[trim_hand_ / kRegionsPerRoot];
    if (root.regions.empty()) {
      const uint32_t skip = kRegionsPerRoot - 1 - trim_hand_ % kRegionsPerRoot;
      trim_hand_ += skip;
      step += skip + 1;
      continue;
    }
    memory_bytes_ -= DropClean(root, trim_hand_ % kRegionsPerRoot);
    ++step;
  }
  if (limit_ != nullptr) limit_->Update(*this, memory_bytes_);
}

// Returns the bytes it gave back.
size_t BlockMap::DropClean(Root& root, uint32_t in_root) {
  std::unique_ptr<Region>& region = root.regions[in_root];
  if (region == nullptr || region->users > 0) return 0;
  const bool whole = !region->dirty && !region->writing;
  size_t bytes = whole ? sizeof(Region) : 0;
  for (std::unique_ptr<Node>& node : region->nodes) {
    if (node == nullptr) continue;
    if (whole) bytes += sizeof(Node);
    const bool droppable = whole || (node->disk.first != 0 && !node->dirty && !node->writing);
    if (node->leaf == nullptr || !droppable) continue;
    bytes += node->leaf->MemoryBytes();
    node->leaf.reset();
  }
  if (whole) region.reset();
  return bytes;
}

}  // namespace mica::native
