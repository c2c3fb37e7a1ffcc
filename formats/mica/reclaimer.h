// SPDX-License-Identifier: Apache-2.0
// Reclaimer: slots on their way from "replaced" to "free". A replaced slot is parked in the open
// group. A group becomes free when the change that replaced its slots is durable, and every read
// that was in flight when the group was sealed has ended: until then a power cut could bring the
// old mapping back, or a read could still be moving bytes out of the slot.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "engine/layer.h"
#include "formats/mica/slot_allocator.h"

namespace mica::native {

class Reclaimer {
 public:
  explicit Reclaimer(SlotAllocator& slots);
  Reclaimer(const Reclaimer&) = delete;
  Reclaimer& operator=(const Reclaimer&) = delete;
  ~Reclaimer();

  // Into the open group.
  void Park(SlotRun run);
  // Closes the open group; the number it returns is given to MakeDurable later. Groups are durable
  // in order.
  uint64_t Seal();
  void MakeDurable(uint64_t group);

  // Slots that nothing durable points at any more; only reads in flight keep them. Calls `freed`
  // when these have ended.
  void Retire(std::vector<SlotRun> runs, std::function<void()> freed = {});

  // Slots parked in a group that is open now, or later, stay as they are while the pin lives. A pin
  // may outlive the reclaimer.
  std::unique_ptr<ReadPin> Pin();

  [[nodiscard]] uint64_t parked_slots() const noexcept { return parked_slots_; }
  // Marks all parked slots.
  void MarkParked(SlotBitmap& bitmap) const;

 private:
  struct Group {
    uint64_t number;
    std::vector<SlotRun> runs;
    std::function<void()> freed;
  };
  struct Pins;
  class GroupPin;

  void FreeWhatCanBe();
  void FreeGroup(const Group& group);
  [[nodiscard]] bool IsPinned(const Group& group) const;

  SlotAllocator& slots_;
  std::shared_ptr<Pins> pins_;
  Group open_{1, {}, {}};
  std::deque<Group> sealed_;   // oldest first
  std::deque<Group> retired_;  // oldest first
  uint64_t durable_ = 0;
  uint64_t parked_slots_ = 0;
};

}  // namespace mica::native
