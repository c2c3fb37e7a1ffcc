// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/snapshot_changes.h"

namespace mica::native {

namespace {

std::vector<Slot> TakeSlots(Image& image, uint64_t count) {
  std::vector<Slot> slots;
  for (const SlotRun& run : image.slots.Allocate(count)) {
    for (uint64_t slot = run.first; slot < run.end(); ++slot) {
      slots.push_back(static_cast<Slot>(slot));
    }
  }
  return slots;
}

}  // namespace

uint64_t TableChange::SlotsFor(const SnapshotTable& table) noexcept {
  return table.records.empty() ? 0 : SnapshotTableSlots(table);
}

TableChange::TableChange(Image& image, const StoredSnapshotTable& stored, SnapshotTable table)
    : image_(image), table_(std::move(table)), slots_(TakeSlots(image, SlotsFor(table_))) {
  for (const Slot slot : stored.slots) Replaces(slot);
}

Async<void> TableChange::Apply(Superblock& next) {
  next.snapshot_table = SnapshotTablePointer{};
  next.kept_epoch = 0;
  if (table_.records.empty()) co_return Result<void>();
  const AlignedBuffer bytes = EncodeSnapshotTable(next.Tag(), table_, slots_);
  for (size_t i = 0; i < slots_.size(); ++i) {
    const ConstBytes block = bytes.span().subspan(i * kSlotBytes, kSlotBytes);
    CO_TRY(co_await image_.file->Write(SlotOffset(slots_[i]), block));
  }
  next.snapshot_table.slot = slots_.front();
  next.snapshot_table.slots = static_cast<uint32_t>(slots_.size());
  next.snapshot_table.hash = HashOf(bytes.span());
  next.snapshot_table.snapshots = static_cast<uint32_t>(table_.records.size());
  next.kept_epoch = table_.records.back().epoch;
  co_return Result<void>();
}

void TableChange::Succeeded(std::function<void()> reads_ended) {
  image_.kept_epoch = image_.superblock.kept_epoch;
  for (const Slot slot : slots_) image_.slots.Settle(SlotRun{slot, 1});
  image_.reclaimer.Retire(std::move(replaced_), std::move(reads_ended));
}

SnapshotCreation::SnapshotCreation(Image& image, const StoredSnapshotTable& stored,
                                   SnapshotTable table)
    : TableChange(image, stored, std::move(table)), roots_slot_(TakeSlots(image, 1).front()) {}

SnapshotCreation::~SnapshotCreation() {
  image_.snapshot_being_made = false;
  image_.snapshot_settled.NotifyAll();
}

// What is replaced from this moment on belongs to the snapshot, durable or not.
void SnapshotCreation::AfterFreeze(uint32_t epoch) {
  table_.records.back().epoch = epoch;
  image_.kept_epoch = epoch;
  image_.snapshot_being_made = true;
}

Async<void> SnapshotCreation::Apply(Superblock& next) {
  AlignedBuffer roots(kSlotBytes);
  FillZero(roots.span());
  EncodeRoots(next.roots, roots.span().first(kRootsBytes));
  CO_TRY(co_await image_.file->Write(SlotOffset(roots_slot_), roots.span()));
  SnapshotRecord& record = table_.records.back();
  record.virtual_size = next.virtual_size;
  record.parent_bytes = next.parent_bytes;
  record.history = next.history;
  record.roots_slot = roots_slot_;
  record.roots_hash = HashOf(roots.span());
  co_return co_await TableChange::Apply(next);
}

void SnapshotCreation::Succeeded() {
  image_.slots.Settle(SlotRun{roots_slot_, 1});
  TableChange::Succeeded({});
}

void SnapshotCreation::Failed() {
  // Poisoned: the superblock may be on disk all the same, and everything must stay as it is.
  if (image_.poison) return;
  image_.kept_epoch = image_.superblock.kept_epoch;
  for (const Slot slot : slots_) image_.slots.Free(SlotRun{slot, 1});
  image_.slots.Free(SlotRun{roots_slot_, 1});
}

Async<void> Reversion::Apply(Superblock& next) {
  next.roots = snapshot_.roots;
  next.virtual_size = snapshot_.virtual_size;
  next.parent_bytes = snapshot_.parent_bytes;
  next.history = snapshot_.history;
  next.history.AddRevert(epoch_, lost_through_);
  co_return Result<void>();
}

}  // namespace mica::native
