// SPDX-License-Identifier: Apache-2.0
// Waiting between coroutines of one loop. Nothing here is safe across threads. Waiters are resumed
// by the loop, never inside the call that releases them, so a release cannot re-enter its caller.
#pragma once

#include <coroutine>
#include <deque>

#include "engine/async/event_loop.h"

namespace mica {

// Coroutines that wait until somebody notifies. No state: a notification nobody waits for is lost.
class WaitList {
 public:
  explicit WaitList(EventLoop& loop) : loop_(loop) {}
  WaitList(const WaitList&) = delete;
  WaitList& operator=(const WaitList&) = delete;
  ~WaitList() { MICA_CHECK(waiters_.empty()); }

  auto Wait() noexcept {
    struct Awaiter {
      WaitList& list;
      bool await_ready() noexcept { return false; }
      void await_suspend(std::coroutine_handle<> handle) { list.waiters_.push_back(handle); }
      void await_resume() noexcept {}
    };
    return Awaiter{*this};
  }
  void NotifyOne() {
    if (waiters_.empty()) return;
    loop_.Post(waiters_.front());
    waiters_.pop_front();
  }
  void NotifyAll() {
    while (!waiters_.empty()) NotifyOne();
  }
  [[nodiscard]] bool empty() const noexcept { return waiters_.empty(); }

 private:
  EventLoop& loop_;
  std::deque<std::coroutine_handle<>> waiters_;
};

// Mutual exclusion across suspension, first come first served.
class AsyncMutex {
 public:
  explicit AsyncMutex(EventLoop& loop) : waiters_(loop) {}

  class Lock {
   public:
    explicit Lock(AsyncMutex& mutex) noexcept : mutex_(&mutex) {}
    Lock(Lock&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
    Lock& operator=(Lock&&) = delete;
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;
    ~Lock() {
      if (mutex_ != nullptr) mutex_->Unlock();
    }

   private:
    AsyncMutex* mutex_;
  };

  // auto lock = co_await mutex.Acquire();
  Task<Lock> Acquire() {
    if (locked_) {
      co_await waiters_.Wait();  // Unlock hands the mutex over: it stays locked
    }
    locked_ = true;
    co_return Lock(*this);
  }

 private:
  void Unlock() {
    if (waiters_.empty()) {
      locked_ = false;
    } else {
      waiters_.NotifyOne();
    }
  }

  WaitList waiters_;
  bool locked_ = false;
};

}  // namespace mica
