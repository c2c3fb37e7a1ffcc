// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/quota.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

namespace mica::native {

namespace {

uint64_t SubtractOrZero(uint64_t from, uint64_t what) noexcept {
  return from > what ? from - what : 0;
}

}  // namespace

uint64_t UsedSlots(const Image& image) noexcept {
  return image.slots.host_slots() - image.slots.available();
}

Error QuotaReached(const Image& image) {
  const std::string path = image.path.string();
  return {Errc::kNoSpace, EDQUOT,
          fmt::format("{}: the quota of {} bytes is used up ({} bytes are in use, the rest is kept "
                      "for rewriting what is there); trim the guest's file systems, or raise the "
                      "quota: mica quota {} --hard SIZE",
                      path, image.quota.hard_bytes, UsedSlots(image) * kSlotBytes, path)};
}

Result<void> AdmitToQuota(const Image& image, uint64_t slots) {
  if (image.quota.hard_bytes == 0) return {};
  const uint64_t limit = image.quota.hard_bytes / kSlotBytes;
  if (UsedSlots(image) + slots <= limit) return {};
  return QuotaReached(image);
}

uint64_t GrowthAllowed(const Image& image, SpaceUse use, uint64_t slots) noexcept {
  if (image.quota.hard_bytes == 0 || use == SpaceUse::kCheckpoint) return kSlotEnd;
  const uint64_t limit = image.quota.hard_bytes / kSlotBytes;
  const uint64_t host = image.slots.host_slots();
  if (use == SpaceUse::kAdd) return SubtractOrZero(limit, host);
  // Room for one rewrite and the reserve, whatever the quota. What is parked does not count as in
  // use: when it holds too much, the rewrite waits for a barrier and is tried again.
  const uint64_t needed = SubtractOrZero(UsedSlots(image), image.reclaimer.parked_slots());
  return SubtractOrZero(std::max(limit, needed) + kReserveSlots + slots, host);
}

}  // namespace mica::native
