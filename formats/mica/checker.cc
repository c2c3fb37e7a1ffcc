// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/checker.h"

#include <fmt/format.h>

#include <algorithm>

#include "formats/mica/map_walk.h"

namespace mica::native {

namespace {
constexpr size_t kBatchBlocks = 8192;  // 32 MiB
constexpr uint64_t kLogUser = 0;
}  // namespace

Async<void> Checker::Run() {
  if (const Slot expected = image_.superblock.high_water; file_slots_ < expected) {
    report_.AddCorruption(fmt::format("the file is truncated: it ends at slot {}, the superblock "
                                      "expects {} slots",
                                      file_slots_, expected),
                          std::nullopt);
  }
  UseMetadata(image_.log.slots(), kLogUser);
  CO_TRY(co_await CheckMap());
  for (uint32_t i = 0; i < kRootsMax; ++i) {
    if (const Slot slot = image_.map.RootSlot(i); slot != 0)
      UseMetadata(SlotRun{slot, 1}, SlotUses::OfRoot(i));
  }
  if (any_twice_) CO_TRY(co_await SettleShared());
  damage_.corruptions = report_.corruptions;
  const SnapshotCheck snapshots{image_, options_.scope, report_, uses_, file_slots_};
  CO_TRY(co_await CheckSnapshots(snapshots));
  if (image_.superblock.sealed && report_.corruptions == 0) CO_TRY(co_await CheckSeal());
  std::ranges::sort(damage_.lost);
  const auto same = std::ranges::unique(damage_.lost);
  damage_.lost.erase(same.begin(), same.end());
  co_return Result<void>();
}

Async<void> Checker::CheckMap() {
  uint64_t last_region = UINT64_MAX;
  for (uint64_t block = 0; block < image_.map.block_count();) {
    const Result<BlockMap::Found> found = co_await image_.map.Find(block);
    if (!found) {
      CO_TRY(MapPartLost(found.error(), block));
      block = image_.map.Lookup(block).end_block;
      continue;
    }
    const uint64_t region = block / kBlocksPerRegion;
    if (region != last_region) {
      const uint64_t user = SlotUses::OfRegion(region);
      image_.map.ForEachRegionRun(block, [&](SlotRun run) { UseMetadata(run, user); });
    }
    last_region = region;
    const uint64_t end = found->end_block;
    if (found->kind == BlockMap::Found::Kind::kLeaf) {
      CO_TRY(co_await CheckLeaf(block, *found->leaf));
    }
    block = end;
  }
  co_return co_await CheckBatch();
}

// A damaged part of the map, or one that the host cannot read; any other error ends the check.
Result<void> Checker::MapPartLost(const Error& error, uint64_t block) {
  if (error.code != Errc::kCorrupt && error.code != Errc::kIo) return error;
  const uint64_t end = image_.map.Lookup(block).end_block;
  report_.AddCorruption(error.message, Intersect(RangeBetween(block * kSlotBytes, end * kSlotBytes),
                                                 ByteRange{0, image_.superblock.virtual_size}));
  if (error.code == Errc::kCorrupt) {
    damage_.map_parts.push_back({block, end});
  } else {
    damage_.unreadable = true;
  }
  return {};
}

void Checker::UseMetadata(SlotRun run, uint64_t user) {
  for (uint64_t slot = run.first; slot < run.end(); ++slot) {
    Use(static_cast<Slot>(slot), user, "the map", std::nullopt);
  }
}

// False when the slot cannot hold anything.
bool Checker::Use(Slot slot, uint64_t user, std::string_view who, std::optional<ByteRange> guest) {
  if (slot >= file_slots_) {
    report_.AddCorruption(
        fmt::format("{} uses slot {}, but the file ends at slot {}", who, slot, file_slots_),
        guest);
    return false;  // and a bitmap that large is not wanted
  }
  if (slot >= image_.slots.high_water()) {
    report_.AddCorruption(fmt::format("{} uses slot {}, but slots from {} on count as free", who,
                                      slot, image_.slots.high_water()),
                          std::nullopt);
  }
  damage_.used_end = std::max(damage_.used_end, slot + 1);
  if (uses_.Use(slot, user) == SlotUses::Outcome::kTwice) {
    report_.AddCorruption(fmt::format("slot {} (file offset {}) is used twice, also by {}", slot,
                                      SlotOffset(slot), who),
                          guest);
    twice_.Set(slot);
    any_twice_ = true;
  }
  return true;
}

ByteRange Checker::GuestRange(uint64_t block) const noexcept {
  return Intersect(ByteRange{block * kSlotBytes, kSlotBytes},
                   ByteRange{0, image_.superblock.virtual_size});
}

Async<void> Checker::CheckLeaf(uint64_t first_block, const Leaf& leaf) {
  leaf.ForEach([&](uint32_t index, const LeafEntry& entry) {
    ++report_.blocks_checked;
    if (!IsPlace(entry.slot)) return;
    const uint64_t block = first_block + index;
    const uint64_t user = SlotUses::OfBlock(block, entry.digest);
    const std::string who = fmt::format("the block at guest offset {}", block * kSlotBytes);
    if (!Use(entry.slot, user, who, GuestRange(block))) {
      damage_.lost.push_back(block);
    } else if (options_.scope == CheckScope::kMetadataAndData) {
      batch_.push_back({block, entry});
    }
  });
  if (batch_.size() < kBatchBlocks) co_return Result<void>();
  co_return co_await CheckBatch();
}

// Only now, because either user may have come first. A block whose data does not match its digest
// has lost the slot; of those that match, the first one keeps it. Parts of the map have been
// verified already, so no block's data can match there.
Async<void> Checker::SettleShared() {
  SlotBitmap kept;
  for (uint64_t block = 0; block < image_.map.block_count();) {
    const Result<BlockMap::Found> found = co_await image_.map.Find(block);
    const uint64_t next = image_.map.Lookup(block).end_block;
    std::vector<Item> items;
    if (found && found->kind == BlockMap::Found::Kind::kLeaf) {
      found->leaf->ForEach([&](uint32_t index, const LeafEntry& entry) {
        if (IsPlace(entry.slot) && twice_.Test(entry.slot)) items.push_back({block + index, entry});
      });
    }
    for (const Item& item : items) {
      CO_ASSIGN(const Verdict verdict, co_await CheckOne(item));
      if (verdict == Verdict::kDamaged) damage_.lost.push_back(item.block);
      if (verdict == Verdict::kUnreadable) damage_.unreadable = true;
      if (verdict != Verdict::kGood) continue;
      if (kept.Test(item.entry.slot)) damage_.sharing.push_back(item.block);
      kept.Set(item.entry.slot);
    }
    block = next;
  }
  co_return Result<void>();
}

Async<void> Checker::CheckSeal() {
  CO_ASSIGN(const auto digest, co_await ComputeSealDigest(image_));
  if (digest != image_.superblock.seal_digest) {
    report_.AddCorruption("the map does not add up to the digest of the seal", std::nullopt);
  }
  co_return Result<void>();
}

}  // namespace mica::native
