// SPDX-License-Identifier: Apache-2.0
#include "engine/filters/throttle_device.h"

#include <algorithm>

namespace mica {

RateLimiter::Time RateLimiter::Take(Time now, uint64_t amount) noexcept {
  if (per_second_ == 0) return now;
  const Time start = std::max(next_, now - kSavedUp);
  // Requests are at most some MiB, zeroing counts as one: nothing here comes near 2^63.
  const double nanoseconds = static_cast<double>(amount) * 1e9 / static_cast<double>(per_second_);
  next_ = start + Time(static_cast<int64_t>(nanoseconds));
  return start;
}

ThrottleDevice::ThrottleDevice(EventLoop& loop, BlockDevice& inner, ThrottleLimits limits)
    : ForwardingDevice(inner), loop_(loop) {
  SetLimits(limits);
}

void ThrottleDevice::SetLimits(ThrottleLimits limits) noexcept {
  limits_ = limits;
  requests_.SetRate(limits.requests);
  bytes_.SetRate(limits.bytes);
}

EventLoop::Time ThrottleDevice::Admit(uint64_t bytes) noexcept {
  const EventLoop::Time now = loop_.Now();
  return std::max(requests_.Take(now, 1), bytes_.Take(now, bytes));
}

Async<void> ThrottleDevice::Read(uint64_t offset, Bytes buffer) {
  if (!limited()) return inner_.Read(offset, buffer);
  return After(Admit(buffer.size()), inner_.Read(offset, buffer));
}

Async<void> ThrottleDevice::Write(uint64_t offset, ConstBytes buffer, Durability durability) {
  if (!limited()) return inner_.Write(offset, buffer, durability);
  return After(Admit(buffer.size()), inner_.Write(offset, buffer, durability));
}

Async<void> ThrottleDevice::WriteZeroes(ByteRange range, ZeroHint hint, Durability durability) {
  if (!limited()) return inner_.WriteZeroes(range, hint, durability);
  return After(Admit(0), inner_.WriteZeroes(range, hint, durability));
}

Async<void> ThrottleDevice::Discard(ByteRange range, Durability durability) {
  if (!limited()) return inner_.Discard(range, durability);
  return After(Admit(0), inner_.Discard(range, durability));
}

// A task does nothing before it is awaited.
Async<void> ThrottleDevice::After(EventLoop::Time start, Async<void> request) {
  if (start > loop_.Now()) co_await loop_.SleepUntil(start);
  co_return co_await request;
}

}  // namespace mica
