// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/space_returner.h"

#include <algorithm>
#include <utility>

namespace mica::native {

namespace {
// One call of the host is short enough for others to wait for it.
constexpr uint32_t kRunSlotsMax = (uint32_t{64} << 20) / kSlotBytes;
// What a busy guest leaves alone is too much when it is more than this part of the file.
constexpr uint64_t kBusyPart = 8;
}  // namespace

bool SpaceReturner::HasWork() const noexcept {
  return !unsupported_ && image_.slots.freed_total() - seen_freed_ >= kRunSlotsMin;
}

void SpaceReturner::NoteSpare() noexcept {
  spare_low_ = std::min(spare_low_, space_.Spare());
}

uint64_t SpaceReturner::TakeSurplus() noexcept {
  const uint64_t much = std::max<uint64_t>(image_.slots.high_water() / kBusyPart, kRunSlotsMax);
  const uint64_t surplus = std::exchange(spare_low_, space_.Spare());
  return HasWork() && surplus >= much ? surplus : 0;
}

Async<void> SpaceReturner::PunchFreeRuns(uint64_t keep_slots) {
  // A walk would take the slots that are on their way for free ones, a write would take those, and
  // then the host's answer to the call that is still under way would destroy its data.
  const AsyncMutex::Lock walk_lock = co_await space_.walk_mutex().Acquire();
  seen_freed_ = image_.slots.freed_total();
  for (Slot from = kSlotFirst; !unsupported_ && !image_.poison;) {
    const AsyncMutex::Lock size_lock = co_await space_.size_mutex().Acquire();
    const SlotRun run = image_.slots.TakeFreeRun(from, kRunSlotsMin, kRunSlotsMax);
    if (run.count == 0) break;
    from = static_cast<Slot>(run.end());
    const SlotRun given = PartToGive(run, keep_slots);
    if (given.count < run.count) {
      const SlotRun kept{static_cast<Slot>(given.end()), run.count - given.count};
      image_.slots.Free(kept);
      seen_freed_ += kept.count;
    }
    if (given.count > 0) CO_TRY(co_await Punch(given));
  }
  co_return Result<void>();
}

// Of a run that has been taken out of the allocator.
SlotRun SpaceReturner::PartToGive(SlotRun run, uint64_t keep_slots) const noexcept {
  // Hidden slots cannot be handed out yet, so they are nobody's reserve.
  if (run.first < image_.slots.hidden_end()) return run;
  const uint64_t had = space_.Spare() + run.count;
  const uint64_t surplus = had > keep_slots ? had - keep_slots : 0;
  if (surplus < kRunSlotsMin) return {run.first, 0};
  return {run.first, static_cast<uint32_t>(std::min<uint64_t>(run.count, surplus))};
}

// `run` has been taken out of the allocator.
Async<void> SpaceReturner::Punch(SlotRun run) {
  const ByteRange range{SlotOffset(run.first), uint64_t{run.count} * kSlotBytes};
  const Result<void> given = co_await image_.file->WriteZeroes(range, ZeroMode::kDeallocate);
  if (given) {
    image_.slots.AddBare(run);
    co_return Result<void>();
  }
  if (given.error().code == Errc::kUnsupported) {
    image_.slots.Free(run);
    unsupported_ = true;
    co_return Result<void>();
  }
  image_.slots.AddBare(run);  // part of it may be gone
  co_return given;
}

// Nobody asks for slots any more, so free ones need no promise either.
Async<void> SpaceReturner::PunchAllRuns() {
  for (Slot from = kSlotFirst;;) {
    const SlotRun run = image_.slots.TakeFreeRun(from, 1, kRunSlotsMax);
    if (run.count == 0) break;
    image_.slots.AddBare(run);
    from = static_cast<Slot>(run.end());
  }
  co_return co_await PunchBareRuns();
}

Async<void> SpaceReturner::PunchBareRuns() {
  const AsyncMutex::Lock walk_lock = co_await space_.walk_mutex().Acquire();
  for (Slot from = kSlotFirst; !unsupported_ && !image_.poison;) {
    // While it is held no bare slot is granted, so none is used.
    const AsyncMutex::Lock size_lock = co_await space_.size_mutex().Acquire();
    const SlotRun run = image_.slots.FindBareRun(from, kRunSlotsMin);
    if (run.count == 0) break;
    from = static_cast<Slot>(run.end());
    const ByteRange range{SlotOffset(run.first), uint64_t{run.count} * kSlotBytes};
    const Result<void> given = co_await image_.file->WriteZeroes(range, ZeroMode::kDeallocate);
    if (!given && given.error().code != Errc::kUnsupported) co_return given;
    if (!given) unsupported_ = true;
  }
  co_return Result<void>();
}

Async<void> SpaceReturner::CutTail(uint64_t keep_slots) {
  const AsyncMutex::Lock size_lock = co_await space_.size_mutex().Acquire();
  CO_ASSIGN(const uint64_t size, co_await image_.file->Size());
  const uint64_t end =
      std::max<uint64_t>(image_.slots.high_water() + keep_slots, image_.tail_floor);
  if (size < (end + kRunSlotsMin) * kSlotBytes) co_return Result<void>();
  image_.slots.LowerGrantedEnd(end);
  co_return co_await image_.file->Resize(end * kSlotBytes);
}

}  // namespace mica::native
