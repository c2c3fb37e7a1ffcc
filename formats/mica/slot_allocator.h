// SPDX-License-Identifier: Apache-2.0
// SlotAllocator: which slots of the file are free. Nothing of it is stored: slots from the high
// water mark on are free by definition, and what is free below it is found by walking the map
// (free_walk.h) when it is first needed. Until then slots below the mark that the image was opened
// with are hidden: they can be freed but not handed out. A free slot is bare when the host has not
// promised space for it (again): it was given back, or nobody knows; bare slots are not handed out
// either. Plain synchronous code.
#pragma once

#include <cstdint>
#include <vector>

#include "formats/mica/layout.h"

namespace mica::native {

// One bit per slot, and one bit per word of those to find the next set one quickly.
class SlotBitmap {
 public:
  void Set(Slot slot);
  void Clear(Slot slot) noexcept;
  [[nodiscard]] bool Test(Slot slot) const noexcept;
  // The first set bit in [from, end), or `end`.
  [[nodiscard]] Slot FindSet(Slot from, Slot end) const noexcept;
  [[nodiscard]] uint64_t CountSet() const noexcept;
  // The first bit in [from, end) that is not set, or `end`.
  [[nodiscard]] Slot FindClear(Slot from, Slot end) const noexcept;

 private:
  [[nodiscard]] size_t FindWord(size_t from) const noexcept;

  std::vector<uint64_t> words_;
  std::vector<uint64_t> nonzero_;  // bit w: words_[w] is not 0
};

class SlotAllocator {
 public:
  // Slots below `high_water` are in use or hidden; the file has room up to slot `granted_end`.
  SlotAllocator(Slot high_water, uint64_t granted_end);

  // Slots that can be handed out now.
  [[nodiscard]] uint64_t available() const noexcept { return free_ + GrantedAbove(); }
  [[nodiscard]] uint64_t GrantedAbove() const noexcept {
    return granted_end_ > high_water_ ? granted_end_ - high_water_ : 0;
  }
  [[nodiscard]] uint64_t granted_end() const noexcept { return granted_end_; }
  [[nodiscard]] Slot high_water() const noexcept { return high_water_; }
  [[nodiscard]] Slot hidden_end() const noexcept { return hidden_end_; }

  // `count` slots in as few runs as it can; count <= available().
  std::vector<SlotRun> Allocate(uint64_t count);
  // Neighbouring slots above the high water mark; an empty run when there is no room.
  SlotRun AllocateContiguous(uint32_t count);
  void Free(SlotRun run);

  // Before anything was allocated: a replay has found slots in use up to here.
  void RaiseHighWater(Slot high_water) noexcept;
  // The file has grown.
  void Grant(uint64_t granted_end) noexcept;
  // The walk has found the slots in use below hidden_end(); the rest of them becomes free, bare
  // unless it was freed since the image was opened.
  void Reveal(const SlotBitmap& in_use);
  // Hides everything below the high water mark again: much of it may be free that was not. Slots
  // that were free stay so, but are not handed out before the next Reveal.
  void Hide();
  // Slots that were handed out are in the map now, where a walk finds them. Until then, and until
  // they are freed, they are in use whatever a walk says.
  void Settle(SlotRun run) noexcept;
  // What the high water mark could be without the free slots below it.
  [[nodiscard]] Slot TrimmedHighWater() const noexcept;
  // Lowers the high water mark to that, or as far as `keep_available` slots stay available: behind
  // a bare slot nothing is promised, so free slots behind one are lost with the mark.
  void LowerHighWater(uint64_t keep_available) noexcept;

  // ---- space that goes back to the host and comes again ----

  [[nodiscard]] uint64_t bare_slots() const noexcept { return bare_count_; }
  // Slots freed so far; only grows.
  [[nodiscard]] uint64_t freed_total() const noexcept { return freed_total_; }
  // Slots for which the host has promised space, in use or not.
  [[nodiscard]] uint64_t host_slots() const noexcept;
  // From now on slots are handed out from the low end of the file.
  void SetPacking(bool packing) noexcept { packing_ = packing; }
  // Free slots below `end`, and up to `count` of them, from the lowest on.
  [[nodiscard]] uint64_t FreeBelow(Slot end, uint64_t count_max) const noexcept;
  std::vector<SlotRun> AllocateBelow(uint64_t count, Slot end);
  // Takes the next free run of at least `count_min` slots from `from` on out of the free ones, or
  // its first `count_max` slots; an empty run when there is none. Until it comes back with AddBare
  // or Free it is nobody's.
  SlotRun TakeFreeRun(Slot from, uint32_t count_min, uint32_t count_max);
  void AddBare(SlotRun run);
  // The shortest stretch of the file that begins with a bare slot and holds `count` of them, or
  // all there are; slots in use may lie between. Empty when no slot is bare.
  [[nodiscard]] SlotRun BareStretch(uint64_t count) const noexcept;
  // The next run of at least `count_min` bare slots from `from` on.
  [[nodiscard]] SlotRun FindBareRun(Slot from, uint32_t count_min) const noexcept;
  // The host has promised space for the whole stretch: its bare slots can be handed out.
  void GrantBare(SlotRun stretch);
  // The file is about to be cut there, at or above the high water mark.
  void LowerGrantedEnd(uint64_t granted_end) noexcept;

 private:
  void TakeOut(Slot slot) noexcept;
  void Unsettle(SlotRun run);
  std::vector<SlotRun> TakeFree(uint64_t count);
  [[nodiscard]] bool PreferFresh(uint64_t count) const noexcept;

  Slot high_water_;
  uint64_t granted_end_;  // in slots
  Slot hidden_end_;
  SlotBitmap bits_;    // set: free
  uint64_t free_ = 0;  // set bits at or above hidden_end_
  SlotBitmap bare_;    // set: free and bare; in no other set
  uint64_t bare_count_ = 0;
  uint64_t freed_total_ = 0;
  bool packing_ = false;
  SlotBitmap unsettled_;              // handed out, and not known to be in the map
  SlotBitmap unsettled_when_hidden_;  // some may have come into the map behind the walk
  Slot cursor_ = 0;                   // next fit
};

}  // namespace mica::native
