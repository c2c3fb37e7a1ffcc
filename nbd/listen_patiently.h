// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <chrono>
#include <functional>

#include "engine/async/event_loop.h"
#include "engine/base/result.h"

namespace mica::nbd {

// A process that was killed goes on listening for some milliseconds, until the kernel has taken its
// io_uring down; whoever starts the next one at once must not be told that there is another server.
inline constexpr std::chrono::milliseconds kListenPatience{1000};
inline constexpr std::chrono::milliseconds kListenRetryInterval{10};

// What `listen` returns, which is called again for a while as long as an address is in use.
// `listen` is no coroutine, but may capture.
template <class T>
Async<T> ListenPatiently(EventLoop& loop, std::function<Result<T>()> listen) {
  const EventLoop::Time give_up = loop.Now() + kListenPatience;
  for (;;) {
    Result<T> made = listen();
    const bool taken =
        !made && (made.error().code == Errc::kBusy || made.error().sys_errno == EADDRINUSE);
    if (!taken || loop.Now() >= give_up) co_return made;
    co_await loop.SleepUntil(loop.Now() + kListenRetryInterval);
  }
}

}  // namespace mica::nbd
