// SPDX-License-Identifier: Apache-2.0
// BlockMap: reading parts of the map and verifying them.
#include <fmt/format.h>

#include "formats/mica/block_map.h"
#include "formats/mica/block_map_parts.h"

namespace mica::native {

namespace {

// Clean parts of the map kept in memory, in bytes.
constexpr size_t kMemoryMax = size_t{32} << 20;

Error Damaged(std::string_view part, uint64_t number, Slot slot, std::string_view why) {
  return {Errc::kCorrupt, fmt::format("the map is damaged: {} {} at slot {} (file offset {}): {}",
                                      part, number, slot, SlotOffset(slot), why)};
}

constexpr std::string_view kWrongHash = "the content does not match its checksum";

}  // namespace

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
  AlignedBuffer block(kSlotBytes);
  const Result<void> read = co_await file_.Read(SlotOffset(root.disk.slot), block.span());
  root.loading = false;
  loaded_.NotifyAll();
  CO_TRY(read);
  if (HashOf(block.span()) != root.disk.hash) {
    co_return Damaged("root block", root_index, root.disk.slot, kWrongHash);
  }
  CO_ASSIGN(root.pointers, DecodeRootBlock(block.span()));
  root.regions.resize(kRegionsPerRoot);
  root.region_loading.resize(kRegionsPerRoot);
  root.loaded = true;
  memory_bytes_ += kRegionsPerRoot * (sizeof(RegionPointer) + sizeof(void*));
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
  std::vector<SlotRun> runs;
  const Result<AlignedBuffer> bytes = co_await ReadRegion(pointer, runs);
  root.region_loading[in_root] = false;
  loaded_.NotifyAll();
  if (!bytes) {
    if (bytes.error().code != Errc::kCorrupt) co_return bytes.error();
    co_return Damaged("region", region_index, pointer.slot, bytes.error().message);
  }
  Result<RegionContent> content = DecodeRegion(bytes->span(), tag_, region_index);
  if (!content) co_return Damaged("region", region_index, pointer.slot, content.error().message);
  auto region = std::make_unique<Region>(region_index);
  region->runs = std::move(runs);
  region->birth = content->birth;
  Adopt(*region, std::move(content->items));
  region->users = 1;  // not to be trimmed at once
  root.regions[in_root] = std::move(region);
  if (memory_bytes_ > kMemoryMax) Trim(kMemoryMax / 4 * 3);
  root.regions[in_root]->users = 0;
  co_return Result<void>();
}

Async<AlignedBuffer> BlockMap::ReadRegion(RegionPointer pointer, std::vector<SlotRun>& runs) {
  const std::unique_ptr<ReadPin> pin = reclaimer_.Pin();
  const size_t first_bytes = size_t{pointer.slots} * kSlotBytes;
  AlignedBuffer first(first_bytes);
  CO_TRY(co_await file_.Read(SlotOffset(pointer.slot), first.span()));
  CO_ASSIGN(const std::vector<SlotRun> more, DecodeRegionRuns(first.span(), pointer.slots));
  runs.push_back(SlotRun{pointer.slot, pointer.slots});
  runs.insert(runs.end(), more.begin(), more.end());
  AlignedBuffer whole(CountSlots(runs) * kSlotBytes);
  std::ranges::copy(first.span(), whole.data());
  size_t at = first_bytes;
  for (const SlotRun& run : more) {
    const size_t run_bytes = size_t{run.count} * kSlotBytes;
    CO_TRY(co_await file_.Read(SlotOffset(run.first), whole.span().subspan(at, run_bytes)));
    at += run_bytes;
  }
  if (HashOf(whole.span()) != pointer.hash)
    co_return Error{Errc::kCorrupt, std::string(kWrongHash)};
  co_return whole;
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
  const DensePointer disk = node.disk;
  AlignedBuffer bytes(kDenseLeafBytes);
  Result<void> read = Result<void>();
  if (disk.second == disk.first + 1) {
    read = co_await file_.Read(SlotOffset(disk.first), bytes.span());
  } else {
    read = co_await file_.Read(SlotOffset(disk.first), bytes.span().first(kSlotBytes));
    if (read) {
      read = co_await file_.Read(SlotOffset(disk.second), bytes.span().subspan(kSlotBytes));
    }
  }
  node.loading = false;
  loaded_.NotifyAll();
  const uint64_t number = uint64_t{region.index} * kLeavesPerRegion + leaf_index;
  if (read && HashOf(bytes.span()) != disk.hash) {
    read = Damaged("leaf", number, disk.first, kWrongHash);
  }
  if (read) {
    Result<std::shared_ptr<Leaf>> leaf = DecodeDenseLeaf(bytes.span());
    if (leaf) {
      node.leaf = *std::move(leaf);
      memory_bytes_ += node.leaf->MemoryBytes();
      if (memory_bytes_ > kMemoryMax) Trim(kMemoryMax / 4 * 3);
    } else {
      read = Damaged("leaf", number, disk.first, leaf.error().message);
    }
  }
  --region.users;
  co_return read;
}

}  // namespace mica::native
