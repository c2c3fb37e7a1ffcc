// SPDX-License-Identifier: Apache-2.0
// SpaceReturner: gives host space that the image does not need back to the host. Two rules keep it
// from ever touching data: slots leave the allocator before their space goes and come back, as bare
// ones, only when the host has answered; and what comes from the allocator has been through the
// reclaimer, so nothing durable points at it and no read is in flight. FORMAT.md section 5.
#pragma once

#include "formats/mica/image.h"
#include "formats/mica/space_keeper.h"

namespace mica::native {

class SpaceReturner {
 public:
  // Shorter runs of free slots stay as they are, for the next writes.
  static constexpr uint32_t kRunSlotsMin = (uint32_t{1} << 20) / kSlotBytes;

  SpaceReturner(Image& image, SpaceKeeper& space) : image_(image), space_(space) {}

  // Whether enough has become free since the last time to look for runs, in a quiet moment.
  [[nodiscard]] bool HasWork() const noexcept;

  // A busy guest uses again what it sets free: only what nobody needed for a while is too much.
  // Called after every change…
  void NoteSpare() noexcept;
  // …and now and then: what was spare all the time since the last call, when it is a large part of
  // the file; else 0.
  [[nodiscard]] uint64_t TakeSurplus() noexcept;

  // Gives back free runs of at least kRunSlotsMin until only `keep_slots` spare ones are left.
  // kUnsupported hosts are remembered and left alone. Errors of the host end it; nothing is lost.
  Async<void> PunchFreeRuns(uint64_t keep_slots);
  // Of an image that nobody writes any more, after a walk: all free runs of at least kRunSlotsMin.
  Async<void> PunchAllRuns();
  // After a walk: free runs whose space the host may hold without having promised it.
  Async<void> PunchBareRuns();
  // Cuts the file after the last slot that anything on the disk expects, and `keep_slots` more.
  Async<void> CutTail(uint64_t keep_slots);

 private:
  [[nodiscard]] SlotRun PartToGive(SlotRun run, uint64_t keep_slots) const noexcept;
  Async<void> Punch(SlotRun run);

  Image& image_;
  SpaceKeeper& space_;
  uint64_t seen_freed_ = 0;  // SlotAllocator::freed_total() when it last looked
  uint64_t spare_low_ = 0;   // the least since TakeSurplus
  bool unsupported_ = false;
};

}  // namespace mica::native
