// SPDX-License-Identifier: Apache-2.0
// CallOn: a coroutine of one loop waits for work that belongs to another loop's thread.
#pragma once

#include <functional>
#include <optional>
#include <utility>

#include "engine/async/event_loop.h"

namespace mica {

namespace internal {

// Lives in the frame of the coroutine that waits, so nothing is shared after it has been resumed.
template <class T>
class RemoteCall {
 public:
  RemoteCall(EventLoop& here, EventLoop& there, std::function<Task<T>()> make)
      : here_(here), there_(there), make_(std::move(make)) {}
  RemoteCall(const RemoteCall&) = delete;
  RemoteCall& operator=(const RemoteCall&) = delete;

  bool await_ready() noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) {
    waiter_ = waiter;
    there_.PostFromAnyThread([this] { there_.Spawn(Run(*this)); });
  }
  T await_resume() { return std::move(*value_); }

 private:
  static Task<void> Run(RemoteCall& call) {
    call.value_.emplace(co_await call.make_());
    call.make_ = nullptr;  // what it holds belongs to this thread
    const std::coroutine_handle<> waiter = call.waiter_;
    call.here_.PostFromAnyThread([waiter] { waiter.resume(); });
  }

  EventLoop& here_;
  EventLoop& there_;
  std::function<Task<T>()> make_;
  std::coroutine_handle<> waiter_;
  std::optional<T> value_;
};

}  // namespace internal

// Runs the task that `make` returns on `there` and completes on `here`, the caller's own loop, with
// its value. `make` is called on `there`; it is no coroutine, but may capture: the task's arguments
// must outlive it. Both loops must turn until the call has completed. They may be the same.
template <class T>
Task<T> CallOn(EventLoop& here, EventLoop& there, std::function<Task<T>()> make) {
  internal::RemoteCall<T> call(here, there, std::move(make));
  co_return co_await call;
}

}  // namespace mica
