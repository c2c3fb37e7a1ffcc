// SPDX-License-Identifier: Apache-2.0
// LogRing: where the pages of the metadata log lie. Page numbers only grow; page n lies in the ring
// at the tail's place plus its distance from the tail. Pages from the tail to the newest are live
// and never overwritten. Pure arithmetic.
#pragma once

#include "formats/mica/superblock.h"

namespace mica::native {

// The end of the log at one moment: the next page's number and place, and the hash it continues.
struct LogPosition {
  uint64_t sequence = 1;
  uint32_t index = 0;
  uint64_t previous_hash = 0;
};

class LogRing {
 public:
  explicit LogRing(const Superblock& superblock)
      : slots_(superblock.log),
        tail_{superblock.log_tail_sequence, superblock.log_tail_index,
              superblock.log_tail_previous_hash},
        next_(tail_),
        durable_sequence_(tail_.sequence - 1) {}

  [[nodiscard]] SlotRun slots() const noexcept { return slots_; }
  [[nodiscard]] const LogPosition& tail() const noexcept { return tail_; }
  [[nodiscard]] const LogPosition& next() const noexcept { return next_; }
  [[nodiscard]] uint64_t live_pages() const noexcept { return next_.sequence - tail_.sequence; }
  [[nodiscard]] uint64_t free_pages() const noexcept { return slots_.count - live_pages(); }
  // Pages up to this one are known to be durable, with all data they name.
  [[nodiscard]] uint64_t durable_sequence() const noexcept { return durable_sequence_; }

  // File offset of the page `distance` pages after the next one.
  [[nodiscard]] uint64_t OffsetOf(uint64_t distance) const noexcept {
    const uint64_t index = (next_.index + distance) % slots_.count;
    return SlotOffset(slots_.first) + index * kSlotBytes;
  }
  // Pages that fit behind the next one before the ring wraps.
  [[nodiscard]] uint64_t PagesToWrap() const noexcept { return slots_.count - next_.index; }

  // `pages` pages were written; `last_hash` is the hash of the last one.
  void Advance(uint64_t pages, uint64_t last_hash) noexcept {
    next_.sequence += pages;
    next_.index = static_cast<uint32_t>((next_.index + pages) % slots_.count);
    next_.previous_hash = last_hash;
  }
  void MakeDurable() noexcept { durable_sequence_ = next_.sequence - 1; }
  // Pages before `tail` are no longer needed. When the ring has moved, or page numbers were
  // skipped, the log is empty and goes on at `tail`.
  void MoveTail(const LogPosition& tail, SlotRun slots) noexcept {
    if (slots != slots_ || tail.sequence > next_.sequence) next_ = tail;
    slots_ = slots;
    tail_ = tail;
  }
  // Restarts an empty log at `position`.
  void Restart(const LogPosition& position) noexcept {
    tail_ = position;
    next_ = position;
    durable_sequence_ = position.sequence - 1;
  }

 private:
  SlotRun slots_;
  LogPosition tail_;
  LogPosition next_;
  uint64_t durable_sequence_;
};

}  // namespace mica::native
