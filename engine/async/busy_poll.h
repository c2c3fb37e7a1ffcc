// SPDX-License-Identifier: Apache-2.0
// How long a loop that has nothing to do looks for work before it lets the kernel put it to sleep.
// Falling asleep and being woken costs more than a small request does, so a client with one request
// at a time is served twice as fast by a loop that stays awake; a loop whose waits are long would
// only burn a processor. So it follows the waits there were (as adaptive polling does in QEMU's
// AioContext and halt polling in KVM).
#pragma once

#include <algorithm>
#include <chrono>

namespace mica {

class BusyPoll {
 public:
  using Duration = std::chrono::nanoseconds;

  // For a server: a client on the same host or in the same rack is back within it.
  static constexpr std::chrono::microseconds kServerMax{50};

  // Zero, as at first: never.
  void set_max(Duration max) noexcept {
    max_ = max;
    patience_ = std::min(patience_, max);
  }
  [[nodiscard]] bool enabled() const noexcept { return max_ > Duration::zero(); }

  // How long to look in the wait that begins.
  [[nodiscard]] Duration patience() const noexcept { return patience_; }

  // A wait has ended that took `wait`, asleep or not.
  void Waited(Duration wait) noexcept {
    if (wait <= max_) {
      patience_ = std::min(max_, std::max(kFirst, 2 * patience_));
    } else {
      patience_ /= 4;
      if (patience_ < kFirst) patience_ = Duration::zero();
    }
  }

 private:
  static constexpr Duration kFirst = std::chrono::microseconds(4);

  Duration max_{};
  Duration patience_{};
};

}  // namespace mica
