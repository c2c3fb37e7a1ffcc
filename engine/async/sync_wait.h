// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <type_traits>

#include "engine/async/event_loop.h"

namespace mica {

namespace internal {
template <class T>
Task<void> StoreResult(Task<T> task, std::optional<T>& result) {
  result.emplace(co_await task);
}
}  // namespace internal

// Turns `loop` until `task` has finished and returns its value. For programs and tests, and for
// libraries that call back synchronously; never from inside a coroutine of the same loop.
template <class T>
T SyncWait(EventLoop& loop, Task<T> task) {
  std::optional<T> result;
  loop.Spawn(internal::StoreResult(std::move(task), result));
  if (!result) loop.RunUntil([&result] { return result.has_value(); });
  return std::move(*result);
}

inline void SyncWait(EventLoop& loop, Task<void> task) {
  bool done = false;
  struct Body {
    static Task<void> Run(Task<void> task, bool& done) {
      co_await task;
      done = true;
    }
  };
  loop.Spawn(Body::Run(std::move(task), done));
  if (!done) loop.RunUntil([&done] { return done; });
}

}  // namespace mica
