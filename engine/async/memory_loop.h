// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/async/event_loop.h"

namespace mica {

// A loop without a kernel: virtual time that jumps to the next timer when nothing is ready. Runs
// simulations and unit tests; every run is the same. A turn that can never make progress (nothing
// ready, no timer) is a deadlock in the code under test and ends the program.
class MemoryLoop final : public EventLoop {
 public:
  [[nodiscard]] Time Now() const noexcept override { return now_; }
  Async<void> WaitReady(int fd, Readiness readiness) override;  // kUnsupported

 private:
  void Poll(bool may_wait, Time deadline) override;
  void Wake() noexcept override {}

  Time now_{0};
};

}  // namespace mica
