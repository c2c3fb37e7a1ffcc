// SPDX-License-Identifier: Apache-2.0
#include "engine/async/worker_pool.h"

#include <system_error>

namespace mica {

WorkerPool::WorkerPool(EventLoop& loop, uint32_t threads) : loop_(loop) {
  for (uint32_t i = 0; i < threads; ++i) {
    try {
      threads_.emplace_back([this] { Work(); });
    } catch (const std::system_error&) {
      return;  // those there are will do, or the loop's own
    }
  }
}

WorkerPool::~WorkerPool() {
  {
    const std::lock_guard lock(mutex_);
    MICA_CHECK(queued_.empty());
    stop_ = true;
  }
  arrived_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

class WorkerPool::Submission {
 public:
  Submission(WorkerPool& pool, Job& job) : pool_(pool), job_(job) {}
  bool await_ready() noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    job_.waiter = handle;
    {
      const std::lock_guard lock(pool_.mutex_);
      pool_.queued_.push_back(&job_);
    }
    pool_.arrived_.notify_one();
  }
  void await_resume() noexcept {}

 private:
  WorkerPool& pool_;
  Job& job_;
};

Task<void> WorkerPool::Run(std::function<void()> work) {
  if (threads_.empty()) {
    work();
    co_return;
  }
  Job job;
  job.work = std::move(work);
  Submission submission(*this, job);
  co_await submission;
}

void WorkerPool::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    arrived_.wait(lock, [this] { return stop_ || !queued_.empty(); });
    if (queued_.empty()) return;
    Job& job = *queued_.front();
    queued_.pop_front();
    lock.unlock();
    job.work();
    loop_.PostFromAnyThread([&loop = loop_, waiter = job.waiter] { loop.Post(waiter); });
    lock.lock();
  }
}

}  // namespace mica
