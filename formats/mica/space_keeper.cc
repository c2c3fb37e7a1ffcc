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

Async<void> SpaceKeeper::Ensure(uint64_t slots, SpaceUse use) {
  while (true) {
    const uint64_t needed = image_.map.checkpoint_slots() + image_.promised_slots + slots;
    if (use == SpaceUse::kAdd) {
      const Result<void> admitted = AdmitToQuota(image_, needed);
      if (!admitted) {
        if (image_.slots.hidden_end() == 0) co_return admitted;
        CO_TRY(co_await Walk());  // some of what counts as used may be free
        continue;
      }
    }
    if (Spare() >= slots) {
      if (use == SpaceUse::kAdd) {
        const uint64_t soon = UsedSlots(image_) + slots - std::min(slots, kReserveSlots);
        image_.events.Used(soon * kSlotBytes, image_.quota);
      }
      co_return Result<void>();
    }
    CO_TRY(co_await EnsureAvailable(needed, use));
  }
}

Async<void> SpaceKeeper::EnsureLow(uint64_t slots, Slot end) {
  const AsyncMutex::Lock lock = co_await growing_.Acquire();
  const uint64_t free = image_.slots.FreeBelow(end, slots);
  const SlotRun bare = image_.slots.BareStretch(std::max(slots - free, kStepMin));
  if (free == slots || bare.count == 0 || bare.first >= end) co_return Result<void>();
  if (bare.count > GrowthAllowed(image_, SpaceUse::kReplace, bare.count))
    co_return QuotaReached(image_);
  CO_ASSIGN(const bool granted, co_await GrantBare(std::max(slots - free, kStepMin)));
  if (granted) co_return Result<void>();
  co_return Error{Errc::kNoSpace, fmt::format("{}: the host has no space for free places in the "
                                              "file that were given back to it",
                                              image_.path.string())};
}

Async<void> SpaceKeeper::EnsureForCheckpoint(uint64_t slots) {
  co_return co_await EnsureAvailable(slots, SpaceUse::kCheckpoint);
}

Async<void> SpaceKeeper::EnsureAvailable(uint64_t slots, SpaceUse use) {
  while (image_.slots.available() < slots) {
    Result<void> grown = co_await Grow(slots, use);
    if (grown) continue;
    if (grown.error().code != Errc::kNoSpace) co_return grown;
    if (image_.slots.hidden_end() == 0) co_return grown;
    CO_TRY(co_await Walk());
  }
  co_return Result<void>();
}

Async<void> SpaceKeeper::Grow(uint64_t slots_min, SpaceUse use) {
  const AsyncMutex::Lock lock = co_await growing_.Acquire();
  uint64_t available = image_.slots.available();
  if (available >= slots_min) co_return Result<void>();
  if (image_.slots.hidden_end() > 0) walk_wanted_ = true;
  const uint64_t allowed = GrowthAllowed(image_, use, slots_min);
  if (slots_min - available > allowed) co_return QuotaReached(image_);
  const uint64_t step = std::min(allowed, std::max(StepSlots(), slots_min - available));
  CO_ASSIGN(const bool granted, co_await GrantBare(step));
  available = image_.slots.available();
  if (granted && available >= slots_min) co_return Result<void>();
  const uint64_t missing = slots_min - available;
  // Map parts may lie beyond the promised end after a crash: the file grows from the higher one.
  const uint64_t end = std::max<uint64_t>(image_.slots.granted_end(), image_.slots.high_water());
  for (uint64_t now = std::max(step, missing);; now = std::max(now / 2, missing)) {
    Result<void> grown = co_await GrowTo(end + now);
    if (grown || now == missing || grown.error().code != Errc::kNoSpace) co_return grown;
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
  hidden_again_ = true;
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
    const Result<void> grown = co_await Ensure(StepSlots() / 4, SpaceUse::kAdd);
    static_cast<void>(grown);  // who needs the space will see it
  }
}

}  // namespace mica::native
