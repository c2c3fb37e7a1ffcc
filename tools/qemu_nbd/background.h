// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"

namespace mica {

// --fork: the process that was started waits until the one in the background is ready, shows what
// that one says on stderr until then, and leaves with status 0, or 1 when it never becomes ready.
class Background {
 public:
  // Returns in the background process only. Before there are threads.
  static Result<Background> Enter();

  // The process that was started may leave. stderr is where it was before when `keep_stderr`.
  enum class Stderr : uint8_t { kClosed, kKept };
  void Ready(Stderr afterwards);

 private:
  Background(UniqueFd ready, UniqueFd old_stderr)
      : ready_(std::move(ready)), old_stderr_(std::move(old_stderr)) {}

  UniqueFd ready_;
  UniqueFd old_stderr_;
};

}  // namespace mica
