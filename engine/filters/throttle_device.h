// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

#include "engine/async/event_loop.h"
#include "engine/filters/forwarding_device.h"

namespace mica {

// What may pass in a second; 0: any number.
struct ThrottleLimits {
  uint64_t requests = 0;
  uint64_t bytes = 0;  // read and written; zeroing and discarding count as requests only
  friend bool operator==(const ThrottleLimits&, const ThrottleLimits&) = default;
};

// Says when the next thing may start, so that over any time the rate is kept, but for what was
// saved up in kSavedUp of quiet.
class RateLimiter {
 public:
  using Time = EventLoop::Time;
  static constexpr Time kSavedUp = std::chrono::milliseconds(100);

  void SetRate(uint64_t per_second) noexcept { per_second_ = per_second; }
  // Takes `amount` and answers when that may start: not after `now` when there is no need to wait.
  // Answers never go back, so who waits is served in order.
  Time Take(Time now, uint64_t amount) noexcept;

 private:
  uint64_t per_second_ = 0;
  Time next_{0};  // when everything taken so far is paid for
};

// Delays requests to keep to its limits. A flush is never delayed: it is what makes others wait.
class ThrottleDevice final : public ForwardingDevice {
 public:
  ThrottleDevice(EventLoop& loop, BlockDevice& inner, ThrottleLimits limits);

  // For requests from now on. Loop thread only.
  void SetLimits(ThrottleLimits limits) noexcept;
  [[nodiscard]] const ThrottleLimits& limits() const noexcept { return limits_; }

  Async<void> Read(uint64_t offset, Bytes buffer) override;
  Async<void> Write(uint64_t offset, ConstBytes buffer, Durability durability) override;
  Async<void> WriteZeroes(ByteRange range, ZeroHint hint, Durability durability) override;
  Async<void> Discard(ByteRange range, Durability durability) override;

 private:
  // When a request with so many bytes may start.
  EventLoop::Time Admit(uint64_t bytes) noexcept;
  Async<void> After(EventLoop::Time start, Async<void> request);
  [[nodiscard]] bool limited() const noexcept { return limits_ != ThrottleLimits{}; }

  EventLoop& loop_;
  ThrottleLimits limits_;
  RateLimiter requests_;
  RateLimiter bytes_;
};

}  // namespace mica
