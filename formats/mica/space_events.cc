// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/space_events.h"

namespace mica::native {

void SpaceEvents::Used(uint64_t used_bytes, const SpaceQuota& quota) {
  refused_ = false;
  SpaceEvent event;
  event.used_bytes = used_bytes;
  if (const auto mark = marks_.Update(used_bytes, quota.hard_bytes)) {
    event.kind = SpaceEvent::Kind::kQuotaMark;
    event.percent = *mark;
    event.limit_bytes = quota.hard_bytes;
    Tell(event);
  }
  const bool passed = quota.soft_bytes != 0 && used_bytes > quota.soft_bytes;
  if (passed && !soft_passed_) {
    event.kind = SpaceEvent::Kind::kSoftQuota;
    event.percent = 0;
    event.limit_bytes = quota.soft_bytes;
    Tell(event);
  }
  soft_passed_ = passed;
}

void SpaceEvents::Refused(uint64_t used_bytes, uint64_t limit_bytes) {
  if (refused_) return;
  refused_ = true;
  SpaceEvent event;
  event.kind = SpaceEvent::Kind::kNoSpace;
  event.used_bytes = used_bytes;
  event.limit_bytes = limit_bytes;
  Tell(event);
}

}  // namespace mica::native
