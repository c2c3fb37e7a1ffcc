// SPDX-License-Identifier: Apache-2.0
// How much of the host an image may take: the quota's side of admitting a write and of growing the
// file. Pure arithmetic on what the allocator knows.
#pragma once

#include "formats/mica/image.h"

namespace mica::native {

// What room is asked for. Only what adds blocks stops at the quota and leaves the reserve alone.
enum class SpaceUse : uint8_t {
  kAdd,         // blocks that have no slot yet
  kReplace,     // rewrites and trims, which give as much back with the next barrier
  kCheckpoint,  // never refused: it makes durable what was admitted
};

// Slots that only rewrites and trims may use: on a full host the guest can still change what it
// has.
inline constexpr uint64_t kReserveSlots = (uint64_t{1} << 20) / kSlotBytes;

// Slots that are in use or not known to be free, metadata included.
uint64_t UsedSlots(const Image& image) noexcept;

// Whether `slots` more may come into use; kNoSpace when the hard quota forbids it.
Result<void> AdmitToQuota(const Image& image, uint64_t slots);

// By how many slots the host's share may grow now, so that `slots` are available.
uint64_t GrowthAllowed(const Image& image, SpaceUse use, uint64_t slots) noexcept;

Error QuotaReached(const Image& image);

}  // namespace mica::native
