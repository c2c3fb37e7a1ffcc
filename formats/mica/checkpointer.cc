// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/checkpointer.h"

#include <algorithm>

namespace mica::native {

namespace {

// Collects metadata for neighbouring slots and writes it in long pieces.
class MetadataWriter {
 public:
  explicit MetadataWriter(BlockFile& file) : file_(file), buffer_(kBufferBytes) {}

  Async<void> Add(Slot slot, ConstBytes bytes) {
    if (used_ > 0 && (slot != next_slot_ || used_ + bytes.size() > buffer_.size())) {
      CO_TRY(co_await Flush());
    }
    if (bytes.size() > buffer_.size()) co_return co_await file_.Write(SlotOffset(slot), bytes);
    if (used_ == 0) first_slot_ = slot;
    std::ranges::copy(bytes, buffer_.data() + used_);
    used_ += bytes.size();
    next_slot_ = slot + static_cast<Slot>(bytes.size() / kSlotBytes);
    co_return Result<void>();
  }
  Async<void> Flush() {
    if (used_ == 0) co_return Result<void>();
    const ConstBytes bytes = std::as_const(buffer_).span().first(used_);
    used_ = 0;
    co_return co_await file_.Write(SlotOffset(first_slot_), bytes);
  }

 private:
  static constexpr size_t kBufferBytes = size_t{256} << 10;
  BlockFile& file_;
  AlignedBuffer buffer_;
  size_t used_ = 0;
  Slot first_slot_ = 0;
  Slot next_slot_ = 0;
};

}  // namespace

namespace {

uint64_t SlotsOf(const SuperblockChange* change) noexcept {
  return change == nullptr ? 0 : change->slots_max();
}

}  // namespace

Async<void> Checkpointer::Reserve(const SuperblockChange* change) {
  return space_.EnsureForCheckpoint(image_.map.checkpoint_slots() + SlotsOf(change));
}

bool Checkpointer::CanBegin(const SuperblockChange* change) const noexcept {
  return image_.slots.available() >= image_.map.checkpoint_slots() + SlotsOf(change);
}

void Checkpointer::Begin(SuperblockChange* change) {
  image_.slots.LowerHighWater(image_.map.checkpoint_slots() + image_.promised_slots +
                              kReserveSlots + SlotsOf(change));
  if (change != nullptr) change->BeforeFreeze();
  frozen_ = image_.map.Freeze(image_.epoch, image_.kept_epoch);
  room_ = image_.slots.Allocate(frozen_.slots_max);
  used_.clear();
  moved_slots_ = CountSlots(image_.moved);
  superblock_tried_ = false;
  ++image_.epoch;
  if (change != nullptr) change->AfterFreeze(frozen_.epoch);
}

void Checkpointer::Abandon() {
  image_.map.Return(frozen_);
  for (const SlotRun& run : room_) image_.slots.Free(run);
  // Once a superblock that points at them may be on disk, slots that were written stay out of use
  // until the image is opened again: a power cut could make that superblock the valid one.
  if (!superblock_tried_) {
    for (const SlotRun& run : used_) image_.slots.Free(run);
  }
  frozen_ = FrozenMap();
  room_.clear();
  used_.clear();
}

std::vector<SlotRun> Checkpointer::Take(uint32_t count) {
  std::vector<SlotRun> taken;
  while (count > 0) {
    MICA_CHECK(!room_.empty());
    SlotRun& first = room_.front();
    const SlotRun part{first.first, std::min(first.count, count)};
    AppendRun(taken, part);
    AppendRun(used_, part);
    count -= part.count;
    first.first += part.count;
    first.count -= part.count;
    if (first.count == 0) room_.erase(room_.begin());
  }
  return taken;
}

Async<void> Checkpointer::Finish(CheckpointGoal goal) {
  Result<void> done = co_await WriteMap();
  if (done) done = co_await SyncAndPublish(goal);
  if (!done) {
    if (superblock_tried_) co_await TakeBackSuperblock();
    Abandon();
    co_return done;
  }
  InstallAll(goal);
  co_return co_await WriteOtherSuperblock();
}

Async<void> Checkpointer::PublishOnly(CheckpointGoal goal) {
  superblock_tried_ = false;
  const Result<void> done = co_await SyncAndPublish(goal);
  if (!done) {
    if (superblock_tried_) co_await TakeBackSuperblock();
    co_return done;
  }
  co_return co_await WriteOtherSuperblock();
}

// The other superblock follows, so that both say the same and damage to one of them is harmless.
// Nothing depends on it; if it fails the next checkpoint tries again.
Async<void> Checkpointer::WriteOtherSuperblock() {
  const Result<void> second =
      co_await WriteSuperblock(*image_.file, image_.superblock, 1 - image_.superblock_position);
  static_cast<void>(second);
  co_return Result<void>();
}

Async<void> Checkpointer::WriteMap() {
  CO_TRY(co_await WriteLeaves());
  CO_TRY(co_await WriteRegions());
  CO_TRY(co_await WriteRoots());
  for (const SlotRun& run : room_) image_.slots.Free(run);  // the estimate was an upper bound
  room_.clear();
  co_return Result<void>();
}

Async<void> Checkpointer::WriteLeaves() {
  MetadataWriter writer(*image_.file);
  AlignedBuffer bytes(kDenseLeafBytes);
  for (FrozenRegion& region : frozen_.regions) {
    for (RegionItem& item : region.items) {
      if (item.leaf == nullptr || item.leaf->shape() != LeafShape::kDense) continue;
      EncodeDenseLeaf(*item.leaf, bytes.span());
      const std::vector<SlotRun> runs = Take(kDenseLeafSlots);
      item.dense.first = runs.front().first;
      item.dense.second = static_cast<Slot>(runs.back().end() - 1);
      item.dense.birth = frozen_.epoch;
      item.dense.hash = HashOf(bytes.span());
      item.leaf = nullptr;
      const ConstBytes encoded = std::as_const(bytes).span();
      CO_TRY(co_await writer.Add(item.dense.first, encoded.first(kSlotBytes)));
      CO_TRY(co_await writer.Add(item.dense.second, encoded.last(kSlotBytes)));
    }
  }
  co_return co_await writer.Flush();
}

Async<void> Checkpointer::WriteRegions() {
  RegionHeader header;
  header.tag = image_.superblock.Tag();
  header.birth = frozen_.epoch;
  for (FrozenRegion& region : frozen_.regions) {
    header.index = region.index;
    region.runs.clear();
    region.pointer = RegionPointer{};
    if (region.items.empty()) continue;
    size_t item_bytes = 0;
    for (const RegionItem& item : region.items) {
      item_bytes += item.leaf == nullptr ? kDenseItemBytes : EncodedItemBytes(*item.leaf);
    }
    region.runs = Take(RegionSlots(item_bytes));
    const AlignedBuffer bytes = EncodeRegion(header, region.items, region.runs);
    region.pointer.slot = region.runs.front().first;
    region.pointer.slots = region.runs.front().count;
    region.pointer.hash = HashOf(bytes.span());
    size_t at = 0;
    for (const SlotRun& run : region.runs) {
      const size_t run_bytes = size_t{run.count} * kSlotBytes;
      CO_TRY(
          co_await image_.file->Write(SlotOffset(run.first), bytes.span().subspan(at, run_bytes)));
      at += run_bytes;
    }
  }
  co_return Result<void>();
}

Async<void> Checkpointer::WriteRoots() {
  AlignedBuffer bytes(kSlotBytes);
  for (FrozenRoot& root : frozen_.roots) {
    for (const FrozenRegion& region : frozen_.regions) {
      if (region.index / kRegionsPerRoot != root.index) continue;
      root.block[region.index % kRegionsPerRoot] = region.pointer;
    }
    root.pointer = RootPointer{};
    const bool empty = std::ranges::all_of(
        root.block, [](const RegionPointer& pointer) { return pointer.slot == 0; });
    if (empty) continue;
    EncodeRootBlock(root.block, bytes.span());
    root.pointer.slot = Take(1).front().first;
    root.pointer.birth = frozen_.epoch;
    root.pointer.hash = HashOf(bytes.span());
    CO_TRY(co_await image_.file->Write(SlotOffset(root.pointer.slot), bytes.span()));
  }
  co_return Result<void>();
}

Superblock Checkpointer::NextSuperblock(const CheckpointGoal& goal) {
  Superblock next = image_.superblock;
  next.sequence = ++image_.superblock_sequence;
  next.autoclear_features = 0;  // none of them is known here, and the image is being changed
  next.clean = goal.clean;
  next.epoch = image_.epoch;
  next.quota_soft = image_.quota.soft_bytes;
  next.quota_hard = image_.quota.hard_bytes;
  next.log = goal.log;
  next.log_tail_sequence = goal.log_tail.sequence;
  next.log_tail_index = goal.log_tail.index;
  next.log_tail_previous_hash = goal.log_tail.previous_hash;
  next.high_water = goal.clean ? image_.slots.TrimmedHighWater() : image_.slots.high_water();
  if (goal.seal_digest) {
    next.sealed = true;
    next.seal_digest = *goal.seal_digest;
  }
  for (const FrozenRoot& root : frozen_.roots) next.roots[root.index] = root.pointer;
  return next;
}

// Everything the superblock will point at has been written.
Async<void> Checkpointer::SyncAndPublish(const CheckpointGoal& goal) {
  Superblock next = NextSuperblock(goal);
  if (goal.change != nullptr) CO_TRY(co_await goal.change->Apply(next));
  CO_TRY(co_await image_.ConfirmSuperblock());
  CO_TRY(co_await image_.Sync());
  co_return co_await Publish(next);
}

Async<void> Checkpointer::Publish(const Superblock& next) {
  const uint32_t position = 1 - image_.superblock_position;
  superblock_tried_ = true;
  image_.tail_floor = std::max(image_.tail_floor, next.high_water);
  CO_TRY(co_await WriteSuperblock(*image_.file, next, position));
  CO_TRY(co_await image_.Sync());
  image_.superblock = next;
  image_.superblock_position = position;
  image_.tail_floor = next.high_water;
  co_return Result<void>();
}

// Whoever opens the file again on this host, without a power cut, had better find the old one: the
// new one may be readable and yet not be on the disk.
Task<void> Checkpointer::TakeBackSuperblock() {
  const Result<void> written =
      co_await WriteSuperblock(*image_.file, image_.superblock, 1 - image_.superblock_position);
  static_cast<void>(written);  // both lead to a whole disk
}

void Checkpointer::InstallAll(const CheckpointGoal& goal) {
  if (goal.log != image_.log.slots()) frozen_.replaced.push_back(image_.log.slots());
  image_.map.Install(frozen_);
  for (const SlotRun& run : used_) image_.slots.Settle(run);
  image_.slots.Settle(goal.log);
  image_.log.MoveTail(goal.log_tail, goal.log);
  std::vector<SlotRun> moved = TakeRuns(image_.moved, moved_slots_);
  std::ranges::move(moved, std::back_inserter(frozen_.replaced));
  image_.reclaimer.Retire(std::move(frozen_.replaced));
  frozen_ = FrozenMap();
  used_.clear();
}

}  // namespace mica::native
