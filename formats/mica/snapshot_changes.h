// SPDX-License-Identifier: Apache-2.0
// What is written, and what happens to the superblock, when a snapshot is made, deleted or gone
// back to. FORMAT.md section 7.
#pragma once

#include <functional>

#include "formats/mica/checkpointer.h"
#include "formats/mica/snapshot_io.h"

namespace mica::native {

// Puts another snapshot table in the place of the stored one: with a snapshot less, or more.
class TableChange : public SuperblockChange {
 public:
  // Slots that must be available when it is made.
  static uint64_t SlotsFor(const SnapshotTable& table) noexcept;
  TableChange(Image& image, const StoredSnapshotTable& stored, SnapshotTable table);

  // The stored table and `slot` are free once the change is durable.
  void Replaces(Slot slot) { replaced_.push_back(SlotRun{slot, 1}); }

  Async<void> Apply(Superblock& next) override;
  // After it was published. `reads_ended` is called when all reads that are in flight now have
  // ended: only then nobody can be reading what belonged to a snapshot that is gone.
  void Succeeded(std::function<void()> reads_ended);

 protected:
  Image& image_;
  SnapshotTable table_;
  std::vector<Slot> slots_;  // of the new table

 private:
  std::vector<SlotRun> replaced_;
};

// Adds the last record of the table; everything but its name and id is filled in here.
class SnapshotCreation final : public TableChange {
 public:
  static uint64_t SlotsFor(const SnapshotTable& table) noexcept {
    return TableChange::SlotsFor(table) + 1;
  }
  SnapshotCreation(Image& image, const StoredSnapshotTable& stored, SnapshotTable table);
  // Whether it succeeded or not.
  ~SnapshotCreation() override;

  void AfterFreeze(uint32_t epoch) override;
  Async<void> Apply(Superblock& next) override;
  // It was published, or it was not.
  void Succeeded();
  void Failed();

  [[nodiscard]] const SnapshotRecord& record() const noexcept { return table_.records.back(); }

 private:
  Slot roots_slot_ = 0;
};

// The disk becomes `snapshot` (SuperblockOfSnapshot of a record of epoch `epoch`).
class Reversion final : public SuperblockChange {
 public:
  Reversion(const Superblock& snapshot, uint32_t epoch) : snapshot_(snapshot), epoch_(epoch) {}

  void AfterFreeze(uint32_t epoch) override { lost_through_ = epoch; }
  Async<void> Apply(Superblock& next) override;

 private:
  const Superblock snapshot_;
  const uint32_t epoch_;
  uint32_t lost_through_ = 0;
};

}  // namespace mica::native
