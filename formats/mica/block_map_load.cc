// SPDX-License-Identifier: Apache-2.0
// BlockMap: reading parts of the map and verifying them.
#include "formats/mica/block_map.h"
#include "formats/mica/block_map_parts.h"
#include "formats/mica/map_reader.h"

namespace mica::native {

Async<BlockMap::Found> BlockMap::Find(uint64_t block) {
  while (true) {
    const Found found = Lookup(block);
    if (found.kind != Found::Kind::kMustLoad) co_return found;
    CO_TRY(co_await Load(block));
  }
}

Async<void> BlockMap::Load(uint64_t block) {
  const uint32_t root_index = static_cast<uint32_t>(block / kBlocksPerRoot);
  Root& root = roots_[root_index];
  if (!root.loaded) co_return co_await LoadRoot(root_index);
  Region* const region = FindRegion(block);
  if (region == nullptr) {
    const uint32_t region_index = static_cast<uint32_t>(block / kBlocksPerRegion);
    co_return co_await LoadRegion(root, region_index);
  }
  const uint32_t leaf_index = static_cast<uint32_t>(block / kBlocksPerLeaf % kLeavesPerRegion);
  co_return co_await LoadLeaf(*region, leaf_index);
}

// Each part is read once however many callers want it; the others wait and look again.
Async<void> BlockMap::LoadRoot(uint32_t root_index) {
  Root& root = roots_[root_index];
  if (root.loading) {
    co_await loaded_.Wait();
    co_return Result<void>();
  }
  root.loading = true;
  Result<RootBlock> pointers = co_await ReadRootBlock(file_, root.disk, root_index);
  root.loading = false;
  loaded_.NotifyAll();
  if (!pointers) co_return pointers.error();
  root.pointers = *std::move(pointers);
  root.regions.resize(kRegionsPerRoot);
  root.region_loading.resize(kRegionsPerRoot);
  root.loaded = true;
  memory_bytes_ += kRegionsPerRoot * (sizeof(RegionPointer) + sizeof(void*));
  KeepLimits();
  co_return Result<void>();
}

Async<void> BlockMap::LoadRegion(Root& root, uint32_t region_index) {
  const uint32_t in_root = region_index % kRegionsPerRoot;
  if (root.region_loading[in_root]) {
    co_await loaded_.Wait();
    co_return Result<void>();
  }
  root.region_loading[in_root] = true;
  const RegionPointer pointer = root.pointers[in_root];
  std::unique_ptr<ReadPin> pin = reclaimer_.Pin();
  Result<StoredRegion> stored = co_await ReadRegion(file_, pointer, tag_, region_index);
  pin.reset();
  root.region_loading[in_root] = false;
  loaded_.NotifyAll();
  if (!stored) co_return stored.error();
  auto region = std::make_unique<Region>(region_index);
  region->runs = std::move(stored->runs);
  region->birth = stored->content.birth;
  Adopt(*region, std::move(stored->content.items));
  region->users = 1;  // not to be trimmed at once
  root.regions[in_root] = std::move(region);
  KeepLimits();
  root.regions[in_root]->users = 0;
  co_return Result<void>();
}

void BlockMap::Adopt(Region& region, std::vector<RegionItem> items) {
  memory_bytes_ += sizeof(Region);
  for (RegionItem& item : items) {
    auto node = std::make_unique<Node>();
    node->disk = item.dense;
    node->item_bytes = kDenseItemBytes;
    memory_bytes_ += sizeof(Node);
    if (item.leaf != nullptr) {
      node->leaf = std::const_pointer_cast<Leaf>(item.leaf);
      node->item_bytes = EncodedItemBytes(*node->leaf);
      memory_bytes_ += node->leaf->MemoryBytes();
    }
    region.item_bytes += node->item_bytes;
    region.nodes[item.leaf_index] = std::move(node);
  }
}

Async<void> BlockMap::LoadLeaf(Region& region, uint32_t leaf_index) {
  Node& node = *region.nodes[leaf_index];
  if (node.loading) {
    co_await loaded_.Wait();
    co_return Result<void>();
  }
  node.loading = true;
  ++region.users;
  const std::unique_ptr<ReadPin> pin = reclaimer_.Pin();
  const uint64_t number = uint64_t{region.index} * kLeavesPerRegion + leaf_index;
  Result<std::shared_ptr<Leaf>> leaf = co_await ReadDenseLeaf(file_, node.disk, number);
  node.loading = false;
  loaded_.NotifyAll();
  if (leaf) {
    node.leaf = *leaf;
    memory_bytes_ += node.leaf->MemoryBytes();
    KeepLimits();
  }
  --region.users;
  if (!leaf) co_return leaf.error();
  co_return Result<void>();
}

}  // namespace mica::native
