// SPDX-License-Identifier: Apache-2.0
// MicaLayer: changes.
#include <algorithm>
#include <cerrno>

#include "formats/mica/mica_layer.h"

namespace mica::native {

namespace {

uint64_t NextLeaf(uint64_t block) {
  return (block / kBlocksPerLeaf + 1) * kBlocksPerLeaf;
}
uint64_t NextRegion(uint64_t block) {
  return (block / kBlocksPerRegion + 1) * kBlocksPerRegion;
}
constexpr uint32_t kLeavesPerTurn = 64;

}  // namespace

Result<void> MicaLayer::CheckWritable() const {
  if (!info_.writable) return Error{Errc::kReadOnly, info_.path + ": open read-only"};
  return image_.CheckHealthy();
}

// Loads all leaves of the blocks and keeps them in memory. On failure nothing stays pinned.
Async<void> MicaLayer::LoadAndPin(uint64_t first_block, uint64_t end_block) {
  for (uint64_t region = first_block; region < end_block; region = NextRegion(region)) {
    Result<BlockMap::Found> found = co_await image_.map.Find(region);
    if (found) {
      image_.map.Pin(region);
      const uint64_t region_end = std::min(end_block, NextRegion(region));
      for (uint64_t leaf = NextLeaf(region); found && leaf < region_end; leaf = NextLeaf(leaf)) {
        found = co_await image_.map.Find(leaf);
      }
      if (found) continue;
      image_.map.Unpin(region);
    }
    UnpinAll(first_block, region);
    co_return std::move(found).error().WithContext(info_.path);
  }
  co_return Result<void>();
}

void MicaLayer::UnpinAll(uint64_t first_block, uint64_t end_block) {
  for (uint64_t region = first_block; region < end_block; region = NextRegion(region)) {
    image_.map.Unpin(region);
  }
}

// kReplace when every block gives back a slot of its own. All leaves are loaded.
SpaceUse MicaLayer::UseOf(uint64_t first_block, uint64_t end_block) {
  for (uint64_t block = first_block; block < end_block; block = NextLeaf(block)) {
    const BlockMap::Found found = image_.map.Lookup(block);
    if (found.kind != BlockMap::Found::Kind::kLeaf) return SpaceUse::kAdd;
    const uint64_t leaf_end = std::min(end_block, NextLeaf(block));
    for (uint64_t i = block; i < leaf_end; ++i) {
      const auto index = static_cast<uint32_t>(i % kBlocksPerLeaf);
      const LeafEntry entry = found.leaf->Get(index);
      if (!IsPlace(entry.slot) || entry.epoch <= image_.kept_epoch) return SpaceUse::kAdd;
    }
  }
  return SpaceUse::kReplace;
}

// Room for data and for the map entries it needs. Slots that wait for a barrier are recycled before
// the write fails.
Async<void> MicaLayer::MakeRoom(const InFlight& write, uint64_t data_slots, SpaceUse use) {
  if (use == SpaceUse::kAdd) data_slots += kReserveSlots;
  for (uint32_t attempt = 0;; ++attempt) {
    const uint64_t growth = image_.map.GrowthMax(write.first_block, write.end_block);
    Result<void> room = co_await open_->space.Ensure(data_slots + growth, use);
    if (room || room.error().code != Errc::kNoSpace) co_return room;
    if (attempt == 2) {
      const bool quota = room.error().sys_errno == EDQUOT;
      const uint64_t limit = quota ? image_.quota.hard_bytes : 0;
      image_.events.Refused(UsedSlots(image_) * kSlotBytes, limit);
      co_return room;
    }
    // First a barrier; then a checkpoint, which turns the room set aside for it into free slots.
    if (attempt == 0) {
      CO_TRY(co_await open_->committer.Flush());
    } else {
      CO_TRY(co_await open_->committer.Checkpoint());
    }
  }
}

Async<WritePlan> MicaLayer::PrepareWrite(ByteRange range) {
  CO_TRY(CheckWritable());
  InFlight write;
  write.first_block = range.offset / kSlotBytes;
  write.end_block = DivideRoundUp(range.end(), kSlotBytes);
  const uint64_t blocks = write.end_block - write.first_block;
  if (image_.pending.PagesMax() > image_.log.slots().count) {
    CO_TRY(co_await open_->committer.Flush());  // the host cannot keep up: let it
  }
  CO_TRY(co_await LoadAndPin(write.first_block, write.end_block));
  const SpaceUse use = UseOf(write.first_block, write.end_block);
  const Result<void> room = co_await MakeRoom(write, blocks, use);
  if (!room) {
    UnpinAll(write.first_block, write.end_block);
    co_return room.error();
  }
  write.promised_slots = image_.map.GrowthMax(write.first_block, write.end_block);
  image_.promised_slots += write.promised_slots;
  write.runs = image_.slots.Allocate(blocks);

  WritePlan plan;
  plan.range = range;
  plan.token = next_token_++;
  uint64_t at = range.offset;
  for (const SlotRun& run : write.runs) {
    WritePlan::Target target;
    target.guest = RangeBetween(at, std::min(at + uint64_t{run.count} * kSlotBytes, range.end()));
    target.host_offset = SlotOffset(run.first);
    at = target.guest.end();
    plan.targets.push_back(target);
  }
  in_flight_.emplace(plan.token, std::move(write));
  co_return plan;
}

MicaLayer::InFlight MicaLayer::TakeInFlight(uint64_t token) {
  const auto found = in_flight_.find(token);
  MICA_CHECK(found != in_flight_.end());
  InFlight write = std::move(found->second);
  in_flight_.erase(found);
  image_.promised_slots -= write.promised_slots;
  return write;
}

Async<void> MicaLayer::PublishWrite(WritePlan plan) {
  const InFlight write = TakeInFlight(plan.token);
  MICA_CHECK(plan.digests.size() == write.end_block - write.first_block);
  uint64_t block = write.first_block;
  std::span<const BlockDigest> digests = plan.digests;
  for (const SlotRun& run : write.runs) {
    PublishBlocks(block, run.first, digests.first(run.count));
    image_.slots.Settle(run);
    block += run.count;
    digests = digests.subspan(run.count);
  }
  UnpinAll(write.first_block, write.end_block);
  open_->Tend();
  co_return Result<void>();
}

void MicaLayer::PublishBlocks(uint64_t first_block, Slot first_slot,
                              std::span<const BlockDigest> digests) {
  const uint64_t end = first_block + digests.size();
  for (uint64_t begin = first_block; begin < end; begin = NextLeaf(begin)) {
    const uint64_t leaf_end = std::min(end, NextLeaf(begin));
    image_.map.Change(begin, [&](Leaf& leaf) {
      for (uint64_t block = begin; block < leaf_end; ++block) {
        const auto index = static_cast<uint32_t>(block % kBlocksPerLeaf);
        ParkIfUnkept(leaf.Get(index));
        const uint64_t i = block - first_block;
        leaf.Set(index, LeafEntry{first_slot + static_cast<Slot>(i), image_.epoch, digests[i]});
      }
    });
  }
  image_.pending.AddData(first_block, first_slot, digests);
}

// The slot of a block that is being replaced, unless a snapshot may have it.
void MicaLayer::ParkIfUnkept(const LeafEntry& entry) {
  if (!IsPlace(entry.slot) || entry.epoch <= image_.kept_epoch) return;
  image_.reclaimer.Park(SlotRun{entry.slot, 1});
}

void MicaLayer::CancelWrite(WritePlan plan) noexcept {
  const InFlight write = TakeInFlight(plan.token);
  for (const SlotRun& run : write.runs) image_.slots.Free(run);
  UnpinAll(write.first_block, write.end_block);
}

// Blocks that are present keep an entry, so that the change has an epoch: zero, or as the parent.
Async<void> MicaLayer::Unmap(ByteRange range, ExtentKind becomes) {
  CO_TRY(CheckWritable());
  const bool zero = becomes == ExtentKind::kZero || image_.AbsentIsZero();
  const RecordKind record = zero ? RecordKind::kZero : RecordKind::kSameAsParent;
  const bool only_present = image_.AbsentIsZero() || record == RecordKind::kSameAsParent;
  const uint64_t end = DivideRoundUp(range.end(), kSlotBytes);
  uint32_t leaves = 0;
  for (uint64_t block = range.offset / kSlotBytes; block < end;) {
    Result<BlockMap::Found> found = co_await image_.map.Find(block);
    if (!found) co_return std::move(found).error().WithContext(info_.path);
    if (found->kind == BlockMap::Found::Kind::kAbsent && only_present) {
      block = found->end_block;  // nothing to take away
      continue;
    }
    const uint64_t next = std::min(end, NextLeaf(block));
    CO_TRY(co_await UnmapLeaf(block, next, record));
    block = next;
    if (++leaves % kLeavesPerTurn == 0) co_await image_.loop.Yield();
  }
  open_->Tend();
  co_return Result<void>();
}

// Pins the blocks, which are in one leaf, and finds room to change their entries without new data.
// On failure nothing stays pinned.
Async<void> MicaLayer::ReadyLeaf(uint64_t first_block, uint64_t end_block) {
  CO_TRY(co_await LoadAndPin(first_block, end_block));
  InFlight change;
  change.first_block = first_block;
  change.end_block = end_block;
  const Result<void> room = co_await MakeRoom(change, 0, SpaceUse::kReplace);
  if (!room) UnpinAll(first_block, end_block);
  co_return room;
}

Async<void> MicaLayer::UnmapLeaf(uint64_t first_block, uint64_t end_block, RecordKind becomes) {
  CO_TRY(co_await ReadyLeaf(first_block, end_block));
  LeafEntry entry;
  entry.slot = becomes == RecordKind::kZero ? kSlotZero : kSlotSameAsParent;
  entry.epoch = image_.epoch;
  image_.map.Change(first_block, [&](Leaf& leaf) {
    const auto begin = static_cast<uint32_t>(first_block % kBlocksPerLeaf);
    const auto end = begin + static_cast<uint32_t>(end_block - first_block);
    leaf.ForEach([&](uint32_t index, const LeafEntry& old) {
      if (index >= begin && index < end) ParkIfUnkept(old);
    });
    if (image_.AbsentIsZero() || becomes == RecordKind::kSameAsParent) {
      leaf.SetPresent(begin, end, entry);
    } else {
      leaf.SetRange(begin, end, entry);
    }
  });
  UnpinAll(first_block, end_block);
  image_.pending.AddState(becomes, first_block, end_block - first_block);
  co_return Result<void>();
}

}  // namespace mica::native
