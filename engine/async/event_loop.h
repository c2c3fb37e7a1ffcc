// SPDX-License-Identifier: Apache-2.0
// EventLoop: one thread's run queue, timers and kernel completions. A disk, its image files and its
// connections live on one loop, so nothing in the data path needs a lock.
#pragma once

#include <chrono>
#include <coroutine>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

#include "engine/async/busy_poll.h"
#include "engine/async/task.h"

namespace mica {

enum class Readiness : uint8_t { kReadable, kWritable };

class EventLoop {
 public:
  using Time = std::chrono::nanoseconds;  // since an arbitrary start, monotonic

  EventLoop() = default;
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  virtual ~EventLoop() = default;

  // Resumes `handle` on a later turn of this loop. Loop thread only.
  void Post(std::coroutine_handle<> handle) { ready_.push_back(handle); }

  // Runs `task` to its end without anybody awaiting it. Loop thread only. The loop must outlive it.
  void Spawn(Task<void> task);

  // Runs `call` on the loop thread soon. The only member that any thread may call.
  void PostFromAnyThread(std::function<void()> call);

  // Turns the loop until `done` returns true; it is asked between turns.
  void RunUntil(const std::function<bool()>& done);

  // Looks for work for up to `max` before a wait, while waits are short; zero: never, as at first.
  // Loop thread only.
  void SetBusyPoll(Time max) noexcept { busy_poll_.set_max(max); }

  // Spawned tasks that have not finished yet.
  [[nodiscard]] size_t spawned_tasks() const noexcept { return spawned_tasks_; }

  // Turns so far: who wants to do a bounded amount of work a turn compares. Loop thread only.
  [[nodiscard]] uint64_t turn() const noexcept { return turn_; }

  // Completes when `fd` is readable or writable, or has an error or hang-up (the following read or
  // write then tells). At most one waiter per descriptor and direction.
  virtual Async<void> WaitReady(int fd, Readiness readiness) = 0;

  [[nodiscard]] virtual Time Now() const noexcept = 0;

  // Completes at `deadline` or soon after; at once if it has passed.
  Task<void> SleepUntil(Time deadline);

  // Completes on the next turn: lets other work run first.
  auto Yield() noexcept {
    struct Awaiter {
      EventLoop& loop;
      bool await_ready() noexcept { return false; }
      void await_suspend(std::coroutine_handle<> handle) { loop.Post(handle); }
      void await_resume() noexcept {}
    };
    return Awaiter{*this};
  }

 protected:
  // Hands queued operations to the kernel and posts what has completed. Waits for a completion
  // until `deadline` when `may_wait`; must return early after Wake.
  virtual void Poll(bool may_wait, Time deadline) = 0;
  // Any thread: makes the current or the next waiting Poll return.
  virtual void Wake() noexcept = 0;

 private:
  friend class Timer;
  using TimerQueue = std::multimap<Time, std::function<void()>>;

  void Turn();
  [[nodiscard]] bool HasWork();
  void WaitForWork(Time deadline);
  void RunReady();
  void RunPosted();
  void RunTimers();

  std::deque<std::coroutine_handle<>> ready_;
  TimerQueue timers_;
  size_t spawned_tasks_ = 0;
  uint64_t turn_ = 0;
  BusyPoll busy_poll_;
  std::mutex posted_mutex_;
  std::vector<std::function<void()>> posted_;  // guarded by posted_mutex_
};

// Calls back once at `deadline` unless destroyed before. Loop thread only; the loop must outlive
// it.
class Timer {
 public:
  Timer(EventLoop& loop, EventLoop::Time deadline, std::function<void()> call);
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer();

 private:
  EventLoop& loop_;
  EventLoop::TimerQueue::iterator position_;
  bool pending_ = true;
};

}  // namespace mica
