// SPDX-License-Identifier: Apache-2.0
// SpaceEvents: tells one listener when an image passes the marks of its quota and when a write is
// refused for want of space.
#pragma once

#include <functional>

#include "engine/space_control.h"
#include "engine/watermarks.h"

namespace mica::native {

class SpaceEvents {
 public:
  void Listen(std::function<void(const SpaceEvent&)> listener) { listener_ = std::move(listener); }

  // A write that adds blocks has been admitted, or the quota has changed. Cheap.
  void Used(uint64_t used_bytes, const SpaceQuota& quota);
  // One was refused. Told once, until one is admitted again.
  void Refused(uint64_t used_bytes, uint64_t limit_bytes);

 private:
  void Tell(const SpaceEvent& event) const {
    if (listener_) listener_(event);
  }

  std::function<void(const SpaceEvent&)> listener_;
  Watermarks marks_;
  bool soft_passed_ = false;
  bool refused_ = false;
};

}  // namespace mica::native
