// SPDX-License-Identifier: Apache-2.0
// RangeLock: exclusive locks on byte ranges, held across suspension. Fair: a request waits for
// every earlier request that overlaps it, granted or not, so nobody starves. A request that meets
// nobody costs the logarithm of the locks held, one that waits and the release it waits for are
// linear in the number of those who wait. An empty range meets nobody. One loop's coroutines only.
#pragma once

#include <coroutine>
#include <list>
#include <map>
#include <utility>

#include "engine/async/event_loop.h"
#include "engine/base/range.h"

namespace mica {

class RangeLock {
  struct Waiter {
    ByteRange range;
    std::coroutine_handle<> handle;
  };
  using Waiters = std::list<Waiter>;

 public:
  explicit RangeLock(EventLoop& loop) : loop_(loop) {}
  RangeLock(const RangeLock&) = delete;
  RangeLock& operator=(const RangeLock&) = delete;
  ~RangeLock() { MICA_CHECK(held_.empty() && waiters_.empty()); }

  class Guard {
   public:
    Guard(RangeLock& lock, ByteRange range) : lock_(&lock), range_(range) {}
    Guard(Guard&& other) noexcept
        : lock_(std::exchange(other.lock_, nullptr)), range_(other.range_) {}
    Guard& operator=(Guard&&) = delete;
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;
    ~Guard() {
      if (lock_ != nullptr) lock_->Release(range_);
    }

   private:
    RangeLock* lock_;
    ByteRange range_;
  };

  // auto guard = co_await lock.Acquire(range);
  auto Acquire(ByteRange range) {
    struct Awaiter {
      RangeLock& lock;
      ByteRange range;
      Waiters::iterator waiter;  // the end when there is nothing to wait for
      bool await_ready() noexcept { return waiter == lock.waiters_.end(); }
      void await_suspend(std::coroutine_handle<> handle) noexcept { waiter->handle = handle; }
      Guard await_resume() { return Guard(lock, range); }
    };
    return Awaiter{*this, range, Enqueue(range)};
  }

 private:
  Waiters::iterator Enqueue(ByteRange range);
  void Release(ByteRange released);
  void Hold(ByteRange range);
  [[nodiscard]] bool IsHeld(ByteRange range) const;
  [[nodiscard]] bool WaitsForEarlier(ByteRange range, Waiters::const_iterator end) const;

  EventLoop& loop_;
  std::map<uint64_t, uint64_t> held_;  // begin to end; they are apart
  Waiters waiters_;                    // in order of arrival
};

}  // namespace mica
