// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/async/event_loop.h"
#include "engine/base/unique_fd.h"

namespace mica {

// SIGINT, SIGTERM and SIGHUP as something a coroutine can wait for, instead of the end of the
// process. One at a time in a process; the signals have their old meaning again when it goes.
class StopSignal {
 public:
  static Result<StopSignal> Install();
  StopSignal(StopSignal&& other) noexcept = default;
  StopSignal& operator=(StopSignal&&) = delete;
  ~StopSignal();

  // Completes when one of the signals has come, at once if it already has.
  Async<void> Wait(EventLoop& loop) const;

 private:
  explicit StopSignal(UniqueFd event) : event_(std::move(event)) {}

  UniqueFd event_;
};

}  // namespace mica
