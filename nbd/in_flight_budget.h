// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "nbd/memory_budget.h"

namespace mica::nbd {

// How much one client may have in the server at once, from the header of a request to the last byte
// of its reply: whoever does not read replies is not read from. Draws on what its loop and its
// export have. Loop thread only.
class InFlightBudget {
 public:
  // What one connection may take, in bytes of content and in requests.
  struct Limits {
    uint64_t bytes_max = 0;
    uint32_t requests_max = 0;
  };
  InFlightBudget(EventLoop& loop, Limits limits, LoopBudget& memory, ServedExport& target)
      : limits_(limits), memory_(memory), target_(target), released_(loop) {}

  // False when that is too much now. Of this connection's own limits a single request is always
  // within.
  bool TryTake(uint64_t bytes) {
    using Holder = LoopBudget::Holder;
    const Holder holder = requests_ == 0 ? Holder::kHasNothing : Holder::kHasSome;
    if (!FitsConnection(bytes) || !memory_.TryTake(target_, bytes, holder)) return false;
    ++requests_;
    bytes_ += bytes;
    return true;
  }
  void Release(uint64_t bytes) {
    --requests_;
    bytes_ -= bytes;
    memory_.Release(target_, bytes);
    released_.NotifyAll();
  }
  // Completes some time after a Release that may have made room for `bytes`: try again.
  Task<void> WaitFor(uint64_t bytes) {
    if (FitsConnection(bytes)) {
      co_await memory_.Wait();
    } else {
      co_await released_.Wait();
    }
  }

  [[nodiscard]] uint32_t requests() const noexcept { return requests_; }
  [[nodiscard]] uint64_t bytes() const noexcept { return bytes_; }

 private:
  [[nodiscard]] bool FitsConnection(uint64_t bytes) const noexcept {
    return requests_ == 0 || (requests_ < limits_.requests_max && bytes_ <= limits_.bytes_max &&
                              bytes <= limits_.bytes_max - bytes_);
  }

  uint64_t bytes_ = 0;
  uint32_t requests_ = 0;
  const Limits limits_;
  LoopBudget& memory_;
  ServedExport& target_;
  WaitList released_;
};

}  // namespace mica::nbd
