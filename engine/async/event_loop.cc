// SPDX-License-Identifier: Apache-2.0
#include "engine/async/event_loop.h"

#include <algorithm>

namespace mica {

namespace {

// A coroutine nobody awaits: it starts at once and frees itself at its end.
struct Detached {
  struct promise_type {
    Detached get_return_object() noexcept { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::abort(); }
  };
};

Detached RunDetached(Task<void> task, size_t& running) {
  ++running;
  co_await task;
  --running;
}

}  // namespace

void EventLoop::Spawn(Task<void> task) {
  RunDetached(std::move(task), spawned_tasks_);
}

void EventLoop::PostFromAnyThread(std::function<void()> call) {
  // Waking under the lock: as soon as `call` can run it may end the loop.
  const std::lock_guard lock(posted_mutex_);
  posted_.push_back(std::move(call));
  if (posted_.size() == 1) Wake();
}

void EventLoop::RunUntil(const std::function<bool()>& done) {
  while (!done()) Turn();
}

void EventLoop::Turn() {
  const Time deadline = timers_.empty() ? Time::max() : timers_.begin()->first;
  if (HasWork()) {
    Poll(false, deadline);
  } else {
    WaitForWork(deadline);
  }
  ++turn_;
  RunPosted();
  RunTimers();
  RunReady();
}

bool EventLoop::HasWork() {
  if (!ready_.empty()) return true;
  const std::lock_guard lock(posted_mutex_);
  return !posted_.empty();
}

void EventLoop::WaitForWork(Time deadline) {
  if (!busy_poll_.enabled()) return Poll(true, deadline);
  const Time begin = Now();
  const Time sleep_at = std::min(begin + busy_poll_.patience(), deadline);
  Time now = begin;
  while (now < sleep_at && !HasWork()) {
    Poll(false, deadline);
    now = Now();
  }
  if (!HasWork()) {
    Poll(true, deadline);
    now = Now();
  }
  busy_poll_.Waited(now - begin);
}

void EventLoop::RunReady() {
  // Only what was ready at the start: a coroutine that yields goes behind the kernel's completions.
  for (size_t count = ready_.size(); count > 0; --count) {
    const std::coroutine_handle<> handle = ready_.front();
    ready_.pop_front();
    handle.resume();
  }
}

void EventLoop::RunPosted() {
  std::vector<std::function<void()>> calls;
  {
    const std::lock_guard lock(posted_mutex_);
    calls.swap(posted_);
  }
  for (const std::function<void()>& call : calls) call();
}

void EventLoop::RunTimers() {
  if (timers_.empty()) return;
  const Time now = Now();
  while (!timers_.empty() && timers_.begin()->first <= now) {
    const std::function<void()> call = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    call();
  }
}

Task<void> EventLoop::SleepUntil(Time deadline) {
  struct Awaiter {
    EventLoop& loop;
    Time deadline;
    bool await_ready() noexcept { return deadline <= loop.Now(); }
    void await_suspend(std::coroutine_handle<> handle) {
      loop.timers_.emplace(deadline, [handle] { handle.resume(); });
    }
    void await_resume() noexcept {}
  };
  Awaiter awaiter{*this, deadline};
  co_await awaiter;
}

Timer::Timer(EventLoop& loop, EventLoop::Time deadline, std::function<void()> call) : loop_(loop) {
  position_ = loop.timers_.emplace(deadline, [this, call = std::move(call)] {
    pending_ = false;
    call();  // may destroy this timer
  });
}

Timer::~Timer() {
  if (pending_) loop_.timers_.erase(position_);
}

}  // namespace mica
