// SPDX-License-Identifier: Apache-2.0
// RangeLock: exclusive locks on byte ranges, held across suspension. Fair: a request waits for
// every earlier request that overlaps it, granted or not, so nobody starves. One loop's coroutines
// only.
#pragma once

#include <coroutine>
#include <list>

#include "engine/async/event_loop.h"
#include "engine/base/range.h"

namespace mica {

class RangeLock {
  struct Entry {
    ByteRange range;
    bool granted;
    std::coroutine_handle<> waiter;
  };
  using Entries = std::list<Entry>;

 public:
  explicit RangeLock(EventLoop& loop) : loop_(loop) {}
  RangeLock(const RangeLock&) = delete;
  RangeLock& operator=(const RangeLock&) = delete;
  ~RangeLock() { MICA_CHECK(entries_.empty()); }

  class Guard {
   public:
    Guard(RangeLock& lock, Entries::iterator entry) : lock_(&lock), entry_(entry) {}
    Guard(Guard&& other) noexcept
        : lock_(std::exchange(other.lock_, nullptr)), entry_(other.entry_) {}
    Guard& operator=(Guard&&) = delete;
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;
    ~Guard() {
      if (lock_ != nullptr) lock_->Release(entry_);
    }

   private:
    RangeLock* lock_;
    Entries::iterator entry_;
  };

  // auto guard = co_await lock.Acquire(range);
  auto Acquire(ByteRange range) {
    struct Awaiter {
      RangeLock& lock;
      Entries::iterator entry;
      bool await_ready() noexcept { return entry->granted; }
      void await_suspend(std::coroutine_handle<> handle) noexcept { entry->waiter = handle; }
      Guard await_resume() { return Guard(lock, entry); }
    };
    return Awaiter{*this, Enqueue(range)};
  }

 private:
  Entries::iterator Enqueue(ByteRange range);
  void Release(Entries::iterator entry);
  bool WaitsForEarlier(Entries::const_iterator entry) const;

  EventLoop& loop_;
  Entries entries_;  // in order of arrival
};

}  // namespace mica
