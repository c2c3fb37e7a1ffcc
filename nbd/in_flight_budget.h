// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "engine/async/async_mutex.h"

namespace mica::nbd {

// How much one client may have in the server at once, from the header of a request to the last byte
// of its reply: whoever does not read replies is not read from. Loop thread only.
class InFlightBudget {
 public:
  InFlightBudget(EventLoop& loop, uint64_t bytes_max, uint32_t requests_max)
      : bytes_max_(bytes_max), requests_max_(requests_max), released_(loop) {}

  // A single request is always admitted, however large.
  [[nodiscard]] bool Admits(uint64_t bytes) const noexcept {
    return requests_ == 0 ||
           (requests_ < requests_max_ && bytes_ <= bytes_max_ && bytes <= bytes_max_ - bytes_);
  }
  void Take(uint64_t bytes) noexcept {
    ++requests_;
    bytes_ += bytes;
  }
  void Release(uint64_t bytes) {
    --requests_;
    bytes_ -= bytes;
    released_.NotifyAll();
  }
  // Completes some time after a Release: ask Admits again.
  auto WaitReleased() noexcept { return released_.Wait(); }

  [[nodiscard]] uint32_t requests() const noexcept { return requests_; }
  [[nodiscard]] uint64_t bytes() const noexcept { return bytes_; }

 private:
  uint64_t bytes_ = 0;
  uint64_t bytes_max_;
  uint32_t requests_ = 0;
  uint32_t requests_max_;
  WaitList released_;
};

}  // namespace mica::nbd
