// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <coroutine>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/async/event_loop.h"

namespace mica {

// Threads for work that keeps a processor busy for long, so that the loop does not have to. The
// loop must outlive it; no work may be on its way when it is destroyed. Loop thread only.
class WorkerPool {
 public:
  // Without threads the work is done at once, on the loop's own: for loops of tests.
  WorkerPool(EventLoop& loop, uint32_t threads);
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;
  ~WorkerPool();

  // Completes when `work` has run. What it uses must stay until then.
  Task<void> Run(std::function<void()> work);

 private:
  struct Job {
    std::function<void()> work;
    std::coroutine_handle<> waiter;
  };
  class Submission;
  void Work();

  EventLoop& loop_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;  // guards the rest
  std::condition_variable arrived_;
  std::deque<Job*> queued_;
  bool stop_ = false;
};

}  // namespace mica
