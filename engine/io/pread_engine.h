// SPDX-License-Identifier: Apache-2.0
// PreadEngine: blocking system calls, on a small pool of threads or on the loop's own. Works
// everywhere; also serves the libaio engine for what libaio does not do asynchronously.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/async/event_loop.h"
#include "engine/io/io_op.h"

namespace mica {

enum class PreadThreads : uint8_t {
  kPool,
  kNone,  // everything else on the loop waits: for programs that do one thing at a time, as a
          // thread costs several times what a read from the page cache does
};

// Threads start with the first operations. The loop must outlive the engine; no operation may be in
// flight when it is destroyed.
class PreadEngine final : public IoEngine {
 public:
  static constexpr size_t kThreadsMax = 8;

  explicit PreadEngine(EventLoop& loop, PreadThreads use = PreadThreads::kPool)
      : loop_(loop), use_(use) {}
  ~PreadEngine() override;

  void Submit(IoOp& op) override;

 private:
  // Sees to it that a queued operation is done; false when a running thread has to be told.
  bool StartThread();
  void Work();
  void Drain();

  EventLoop& loop_;
  PreadThreads use_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;  // guards the rest
  std::condition_variable work_;
  IoOpList queued_;
  IoOpList completed_;
  size_t queued_count_ = 0;
  size_t idle_threads_ = 0;
  bool drain_posted_ = false;
  bool stop_ = false;
};

}  // namespace mica
