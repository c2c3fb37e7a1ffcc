// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/compactor.h"

#include <algorithm>

#include "formats/mica/mica_space_control.h"

namespace mica::native {

namespace {

constexpr size_t kGroupMax = 256;  // blocks that are moved at a time: 1 MiB
constexpr uint32_t kLeavesPerTurn = 64;
// The end is emptied piece by piece, each as large as this part of what is to be moved: that much
// more host space is taken in between. Every piece costs a walk of the map.
constexpr uint32_t kWindows = 16;
constexpr uint64_t kWindowMin = (uint64_t{64} << 20) / kSlotBytes;
// For map parts that change while the compactor runs, and the room that an image always keeps free:
// when there is enough of it below, what is free above can go.
constexpr uint64_t kSlackSlots = 64 + kReserveSlots;

// While it lives, slots are handed out from the low end of the file.
class Packing {
 public:
  explicit Packing(SlotAllocator& slots) : slots_(slots) { slots_.SetPacking(true); }
  Packing(const Packing&) = delete;
  Packing& operator=(const Packing&) = delete;
  ~Packing() { slots_.SetPacking(false); }

 private:
  SlotAllocator& slots_;
};

}  // namespace

Async<CompactReport> Compactor::Run() {
  CompactReport report;
  CO_ASSIGN(report.file_bytes_before, co_await image_.file->Size());
  const Result<void> done = co_await RunPacked();
  // Also after an error: what was moved is worth its while.
  const Result<void> cut = co_await CutEnd();
  CO_TRY(done);
  CO_TRY(cut);
  report.moved_bytes = progress_.moved_bytes;
  CO_ASSIGN(report.file_bytes_after, co_await image_.file->Size());
  co_return report;
}

Async<void> Compactor::RunPacked() {
  const Packing packing(image_.slots);
  CO_TRY(co_await open_.committer.Flush());  // what was replaced is free then
  if (image_.slots.hidden_end() > 0) CO_TRY(co_await open_.space.Walk());
  CO_TRY(co_await Survey());
  while (image_.slots.high_water() > target_) {
    const Slot end = image_.slots.high_water();
    const uint64_t window = std::max(kWindowMin, progress_.total_bytes / kSlotBytes / kWindows);
    const Slot begin = end - target_ > window ? static_cast<Slot>(end - window) : target_;
    CO_ASSIGN(const bool emptied, co_await EmptyWindow(begin));
    CO_TRY(co_await CutEnd());
    if (!emptied || image_.slots.high_water() > begin) break;  // something there cannot be moved
  }
  co_return Result<void>();
}

// How far down the file can end, and how much has to move for that.
Async<void> Compactor::Survey() {
  CO_ASSIGN(const HeadSlots head, co_await CountHeadSlots(image_));
  const uint64_t used = UsedSlots(image_) - image_.reclaimer.parked_slots();
  target_ = static_cast<Slot>(
      std::min<uint64_t>(image_.slots.high_water(), used + head.metadata + kSlackSlots));
  CO_ASSIGN(const std::vector<Item> items, co_await Collect(target_));
  progress_.total_bytes = items.size() * kSlotBytes;
  if (on_progress_) on_progress_(progress_);
  co_return Result<void>();
}

// Blocks of the disk in slots from `begin` on that no snapshot shares, in guest order. Map parts
// there are marked to be written anew.
Async<std::vector<Compactor::Item>> Compactor::Collect(Slot begin) {
  std::vector<Item> items;
  uint32_t leaves = 0;
  for (uint64_t block = 0; block < image_.map.block_count();) {
    CO_TRY(co_await image_.map.Find(block));
    CO_TRY(co_await MoveMapParts(block, begin));
    CO_ASSIGN(const BlockMap::Found found, co_await image_.map.Find(block));
    if (found.kind == BlockMap::Found::Kind::kLeaf) {
      found.leaf->ForEach([&](uint32_t index, const LeafEntry& entry) {
        if (!IsPlace(entry.slot) || entry.slot < begin) return;
        if (entry.epoch > image_.kept_epoch) items.push_back({block + index, entry.slot});
      });
    }
    block = found.end_block;
    if (++leaves % kLeavesPerTurn == 0) co_await image_.loop.Yield();
  }
  co_return items;
}

// Those that hold the entry of `block` and lie too high; where there is no room they stay.
Async<void> Compactor::MoveMapParts(uint64_t block, Slot begin) {
  if (!image_.map.LiesAbove(block, begin, image_.kept_epoch)) co_return Result<void>();
  const uint64_t growth = image_.map.GrowthMax(block, block + 1);
  const Result<void> room = co_await open_.space.Ensure(growth, SpaceUse::kReplace);
  if (!room && room.error().code == Errc::kNoSpace) co_return Result<void>();
  CO_TRY(room);
  CO_TRY(co_await image_.map.Find(block));
  image_.map.Rewrite(block);
  co_return Result<void>();
}

// False when there was no place to move something to.
Async<bool> Compactor::EmptyWindow(Slot begin) {
  CO_ASSIGN(const std::vector<Item> items, co_await Collect(begin));
  for (size_t first = 0; first < items.size();) {
    const uint64_t leaf = items[first].block / kBlocksPerLeaf;
    size_t end = first + 1;
    while (end < items.size() && end - first < kGroupMax &&
           items[end].block / kBlocksPerLeaf == leaf) {
      ++end;
    }
    const std::span<const Item> group = std::span(items).subspan(first, end - first);
    CO_ASSIGN(const bool moved, co_await MoveGroup(group));
    if (!moved) co_return false;
    progress_.moved_bytes += group.size() * kSlotBytes;
    progress_.total_bytes = std::max(progress_.total_bytes, progress_.moved_bytes);
    if (on_progress_) on_progress_(progress_);
    first = end;
  }
  CO_TRY(co_await MoveLog());
  co_return true;
}

// `items` lie in one leaf.
Async<bool> Compactor::MoveGroup(std::span<const Item> items) {
  const uint64_t first_block = items.front().block;
  const uint64_t end_block = items.back().block + 1;
  CO_TRY(co_await image_.map.Find(first_block));
  image_.map.Pin(first_block);
  const uint64_t growth = image_.map.GrowthMax(first_block, end_block);
  Result<void> done = co_await open_.space.Ensure(growth + items.size(), SpaceUse::kReplace);
  if (done) done = co_await open_.space.EnsureLow(items.size(), target_);
  std::vector<SlotRun> to;
  if (done) to = image_.slots.AllocateBelow(items.size(), target_);
  const bool room = CountSlots(to) == items.size();
  if (room) {
    image_.promised_slots += growth;
    done = co_await CopyData(items, to);
    image_.promised_slots -= growth;
    // The leaf stays in memory while its region is pinned, unless it was not in memory before.
    if (done) {
      const Result<BlockMap::Found> found = co_await image_.map.Find(first_block);
      if (!found) done = found.error();
    }
  }
  if (room && done) {
    Publish(items, to);
  } else {
    for (const SlotRun& run : to) image_.slots.Free(run);
  }
  image_.map.Unpin(first_block);
  if (!done && done.error().code != Errc::kNoSpace) co_return done.error();
  co_return room&& done;
}

Async<void> Compactor::CopyData(std::span<const Item> items, const std::vector<SlotRun>& to) {
  const std::unique_ptr<ReadPin> pin = image_.reclaimer.Pin();
  AlignedBuffer data(items.size() * kSlotBytes);
  for (size_t first = 0; first < items.size();) {
    size_t end = first + 1;
    while (end < items.size() && items[end].slot == items[end - 1].slot + 1) ++end;
    const Bytes part = data.span().subspan(first * kSlotBytes, (end - first) * kSlotBytes);
    CO_TRY(co_await image_.file->Read(SlotOffset(items[first].slot), part));
    first = end;
  }
  size_t at = 0;
  for (const SlotRun& run : to) {
    const size_t bytes = size_t{run.count} * kSlotBytes;
    const ConstBytes part = std::as_const(data).span().subspan(at, bytes);
    CO_TRY(co_await image_.file->Write(SlotOffset(run.first), part));
    at += bytes;
  }
  co_return Result<void>();
}

// Blocks that somebody has changed meanwhile stay as they are.
void Compactor::Publish(std::span<const Item> items, const std::vector<SlotRun>& to) {
  std::vector<Slot> places;
  for (const SlotRun& run : to) {
    for (uint64_t slot = run.first; slot < run.end(); ++slot) {
      places.push_back(static_cast<Slot>(slot));
    }
  }
  const BlockMap::Found found = image_.map.Lookup(items.front().block);
  if (found.kind != BlockMap::Found::Kind::kLeaf) {  // trimmed away
    for (const SlotRun& run : to) image_.slots.Free(run);
    return;
  }
  image_.map.Change(items.front().block, [&](Leaf& leaf) {
    for (size_t i = 0; i < items.size(); ++i) {
      const auto index = static_cast<uint32_t>(items[i].block % kBlocksPerLeaf);
      LeafEntry entry = leaf.Get(index);
      if (entry.slot != items[i].slot || entry.epoch <= image_.kept_epoch) {
        image_.slots.Free(SlotRun{places[i], 1});
        continue;
      }
      entry.slot = places[i];
      image_.slots.Settle(SlotRun{places[i], 1});
      leaf.Set(index, entry);
      AppendRun(image_.moved, SlotRun{items[i].slot, 1});
    }
  });
}

// The ring, if it lies above the target and fits below.
Async<void> Compactor::MoveLog() {
  const SlotRun ring = image_.log.slots();
  if (ring.end() <= target_) co_return Result<void>();
  const SlotRun place = image_.slots.TakeFreeRun(kSlotFirst, ring.count, ring.count);
  if (place.count == 0) co_return Result<void>();
  if (place.end() > ring.first) {
    image_.slots.Free(place);
    co_return Result<void>();
  }
  co_return co_await open_.committer.MoveRing(place);
}

// The first checkpoint frees what was moved, the second says that the file ends lower.
Async<void> Compactor::CutEnd() {
  for (uint32_t i = 0; i < 2; ++i) {
    const uint64_t kept = image_.map.checkpoint_slots() + image_.promised_slots + kReserveSlots;
    const Result<void> low = co_await open_.space.EnsureLow(kept, target_);
    static_cast<void>(low);  // then the map goes where there is room
    CO_TRY(co_await open_.committer.CheckpointNow());
  }
  CO_TRY(co_await open_.returner.PunchFreeRuns(open_.space.StepSlots()));
  CO_TRY(co_await open_.returner.PunchBareRuns());
  co_return co_await open_.returner.CutTail(0);
}

}  // namespace mica::native
