// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/space_keeper.h"

#include <fmt/format.h>

#include <algorithm>

#include "formats/mica/free_walk.h"

namespace mica::native {

namespace {
constexpr uint64_t kStepMin = (uint64_t{1} << 20) / kSlotBytes;
constexpr uint64_t kStepMax = (uint64_t{64} << 20) / kSlotBytes;
// A smaller part than the 1/8 of research prototypes: with it a disk full of random 4 KiB writes
// stays within 1.05 times the guest's data.
constexpr uint64_t kStepPart = 32;
}  // namespace

uint64_t SpaceKeeper::Spare() const noexcept {
  const uint64_t needed = image_.map.checkpoint_slots() + image_.promised_slots;
  const uint64_t available = image_.slots.available();
  return available > needed ? available - needed : 0;
}

uint64_t SpaceKeeper::StepSlots() const noexcept {
  return std::clamp(image_.slots.high_water() / kStepPart, kStepMin, kStepMax);
}

Async<void> SpaceKeeper::Ensure(uint64_t slots) {
  while (Spare() < slots) {
    const uint64_t needed = image_.map.checkpoint_slots() + image_.promised_slots + slots;
    CO_TRY(co_await EnsureAvailable(needed));
  }
  co_return Result<void>();
}

Async<void> SpaceKeeper::EnsureForCheckpoint(uint64_t slots) {
  co_return co_await EnsureAvailable(slots);
}

Async<void> SpaceKeeper::EnsureAvailable(uint64_t slots) {
  while (image_.slots.available() < slots) {
    Result<void> grown = co_await Grow(slots);
    if (grown) continue;
    if (grown.error().code != Errc::kNoSpace) co_return grown;
    if (image_.slots.hidden_end() == 0) co_return grown;
    CO_TRY(co_await Walk());
  }
  co_return Result<void>();
}

Async<void> SpaceKeeper::Grow(uint64_t slots_min) {
  const AsyncMutex::Lock lock = co_await growing_.Acquire();
  const uint64_t available = image_.slots.available();
  if (available >= slots_min) co_return Result<void>();
  if (image_.slots.hidden_end() > 0) walk_wanted_ = true;
  const uint64_t end = image_.slots.granted_end();
  const uint64_t missing = slots_min - available;
  CO_ASSIGN(const bool granted, co_await GrantBare(std::max(StepSlots(), missing)));
  if (granted && image_.slots.available() >= slots_min) co_return Result<void>();
  for (uint64_t step = std::max(StepSlots(), missing);; step = std::max(step / 2, missing)) {
    Result<void> grown = co_await GrowTo(end + step);
    if (grown || step == missing || grown.error().code != Errc::kNoSpace) co_return grown;
  }
}

// Asks the host for space for free slots inside the file; false when there are none or it has no
// space. Slots in use that lie between are covered too, which changes nothing for them.
Async<bool> SpaceKeeper::GrantBare(uint64_t slots) {
  for (uint64_t wanted = slots; wanted > 0; wanted /= 2) {
    const SlotRun stretch = image_.slots.BareStretch(wanted);
    if (stretch.count == 0) co_return false;
    const ByteRange range{SlotOffset(stretch.first), uint64_t{stretch.count} * kSlotBytes};
    const Result<void> promised = co_await image_.file->Allocate(range);
    if (promised || promised.error().code == Errc::kUnsupported) {
      image_.slots.GrantBare(stretch);
      co_return true;
    }
    if (promised.error().code != Errc::kNoSpace) co_return promised.error();
  }
  co_return false;
}

Async<void> SpaceKeeper::GrowTo(uint64_t end) {
  if (end > kSlotEnd) {
    co_return Error{Errc::kNoSpace, fmt::format("{}: holds as many blocks as its format can number",
                                                image_.path.string())};
  }
  const uint64_t begin_bytes = image_.slots.granted_end() * kSlotBytes;
  const ByteRange range = RangeBetween(begin_bytes, end * kSlotBytes);
  Result<void> grown = co_await image_.file->Allocate(range);
  if (!grown && grown.error().code == Errc::kUnsupported) {
    // The host promises nothing here; a write may then still fail for want of space.
    grown = co_await image_.file->Resize(range.end());
  }
  if (grown) image_.slots.Grant(end);
  co_return grown;
}

Async<void> SpaceKeeper::Walk() {
  const AsyncMutex::Lock lock = co_await walked_.Acquire();
  if (image_.slots.hidden_end() == 0) co_return Result<void>();
  CO_ASSIGN(const SlotBitmap in_use, co_await FindSlotsInUse(image_));
  image_.slots.Reveal(in_use);
  co_return Result<void>();
}

Async<void> SpaceKeeper::Rehide() {
  const AsyncMutex::Lock lock = co_await walked_.Acquire();  // a walk knows only what was hidden
  image_.slots.Hide();
  co_return Result<void>();
}

bool SpaceKeeper::WantsBackgroundWork() const noexcept {
  if (walk_wanted_ && image_.slots.hidden_end() > 0) return true;
  return image_.slots.hidden_end() == 0 && Spare() < StepSlots() / 4;
}

Task<void> SpaceKeeper::BackgroundWork() {
  if (walk_wanted_) {
    walk_wanted_ = false;  // not again if it fails: then the file just grows
    const Result<void> walked = co_await Walk();
    if (!walked) co_return;
  }
  if (Spare() < StepSlots() / 4) {
    const Result<void> grown = co_await Ensure(StepSlots() / 4);
    static_cast<void>(grown);  // who needs the space will see it
  }
}

}  // namespace mica::native
