// SPDX-License-Identifier: Apache-2.0
// SlotAllocator: the end of the file, and free slots without host space.
#include <algorithm>

#include "engine/base/check.h"
#include "formats/mica/slot_allocator.h"

namespace mica::native {

Slot SlotAllocator::TrimmedHighWater() const noexcept {
  Slot end = high_water_;
  while (end > hidden_end_ && end > kSlotFirst && (bits_.Test(end - 1) || bare_.Test(end - 1))) {
    --end;
  }
  return end;
}

void SlotAllocator::LowerHighWater(uint64_t keep_available) noexcept {
  const Slot end = TrimmedHighWater();
  while (high_water_ > end) {
    const Slot last = high_water_ - 1;
    const bool is_free = bits_.Test(last);
    // Behind a bare slot nothing is promised any more; a free one is promised as before.
    const uint64_t granted_end = is_free ? granted_end_ : std::min<uint64_t>(granted_end_, last);
    const uint64_t above = granted_end > last ? granted_end - last : 0;
    const uint64_t available_then = free_ - (is_free ? 1 : 0) + above;
    if (available_then < available() && available_then < keep_available) break;
    if (is_free) {
      TakeOut(last);
    } else {
      bare_.Clear(last);
      --bare_count_;
    }
    granted_end_ = granted_end;
    high_water_ = last;
  }
  cursor_ = std::min(cursor_, high_water_);
}

uint64_t SlotAllocator::host_slots() const noexcept {
  const uint64_t end = std::max<uint64_t>(high_water_, granted_end_);
  return end - bare_count_;
}

void SlotAllocator::TakeOut(Slot slot) noexcept {
  bits_.Clear(slot);
  if (slot >= hidden_end_) --free_;
}

SlotRun SlotAllocator::TakeFreeRun(Slot from, uint32_t count_min, uint32_t count_max) {
  for (Slot at = from;;) {
    const Slot first = bits_.FindSet(at, high_water_);
    if (first >= high_water_) return {};
    at = bits_.FindClear(first, high_water_);
    if (at - first < count_min) continue;
    const SlotRun run{first, std::min(at - first, count_max)};
    for (Slot slot = run.first; slot < run.end(); ++slot) TakeOut(slot);
    Unsettle(run);
    return run;
  }
}

uint64_t SlotAllocator::FreeBelow(Slot end, uint64_t count_max) const noexcept {
  end = std::min(end, high_water_);
  uint64_t count = 0;
  for (Slot at = bits_.FindSet(hidden_end_, end); at < end && count < count_max;) {
    const Slot run_end = bits_.FindClear(at, end);
    count += run_end - at;
    at = bits_.FindSet(run_end, end);
  }
  return std::min(count, count_max);
}

std::vector<SlotRun> SlotAllocator::AllocateBelow(uint64_t count, Slot end) {
  end = std::min(end, high_water_);
  std::vector<SlotRun> runs;
  for (Slot at = bits_.FindSet(hidden_end_, end); at < end && count > 0;
       at = bits_.FindSet(at, end)) {
    TakeOut(at);
    AppendRun(runs, SlotRun{at, 1});
    --count;
  }
  for (const SlotRun& run : runs) Unsettle(run);
  return runs;
}

void SlotAllocator::AddBare(SlotRun run) {
  for (uint64_t at = run.first; at < run.end(); ++at) {
    const Slot slot = static_cast<Slot>(at);
    unsettled_.Clear(slot);
    if (bare_.Test(slot)) continue;
    bare_.Set(slot);
    ++bare_count_;
  }
}

SlotRun SlotAllocator::BareStretch(uint64_t count) const noexcept {
  const Slot first = bare_.FindSet(hidden_end_, high_water_);
  if (first >= high_water_) return {};
  uint64_t found = 0;
  Slot end = first;
  for (Slot at = first; at < high_water_ && found < count;) {
    end = bare_.FindClear(at, high_water_);
    end = static_cast<Slot>(std::min<uint64_t>(end, at + (count - found)));
    found += end - at;
    at = bare_.FindSet(end, high_water_);
  }
  return SlotRun{first, end - first};
}

SlotRun SlotAllocator::FindBareRun(Slot from, uint32_t count_min) const noexcept {
  for (Slot at = from;;) {
    const Slot first = bare_.FindSet(at, high_water_);
    if (first >= high_water_) return {};
    at = bare_.FindClear(first, high_water_);
    if (at - first >= count_min) return SlotRun{first, at - first};
  }
}

void SlotAllocator::GrantBare(SlotRun stretch) {
  // The mark may have gone down over the stretch while the host was asked.
  const auto end = static_cast<Slot>(std::min<uint64_t>(stretch.end(), high_water_));
  for (Slot at = bare_.FindSet(stretch.first, end); at < end; at = bare_.FindSet(at, end)) {
    bare_.Clear(at);
    --bare_count_;
    bits_.Set(at);
    if (at >= hidden_end_) ++free_;
  }
}

void SlotAllocator::LowerGrantedEnd(uint64_t granted_end) noexcept {
  MICA_CHECK(granted_end >= high_water_);
  granted_end_ = std::min(granted_end_, granted_end);
}

}  // namespace mica::native
