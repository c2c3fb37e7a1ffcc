// SPDX-License-Identifier: Apache-2.0
// The clock of the loops that wait in the kernel.
#pragma once

#include <ctime>

#include "engine/async/event_loop.h"

namespace mica {

inline EventLoop::Time MonotonicNow() noexcept {
  return std::chrono::duration_cast<EventLoop::Time>(
      std::chrono::steady_clock::now().time_since_epoch());
}

// From now until `deadline`; zero when it has passed.
inline timespec TimeoutUntil(EventLoop::Time deadline) noexcept {
  const EventLoop::Time left = deadline - MonotonicNow();
  if (left <= EventLoop::Time::zero()) return {};
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
  return {.tv_sec = static_cast<time_t>(seconds.count()),
          .tv_nsec = static_cast<long>((left - seconds).count())};
}

}  // namespace mica
