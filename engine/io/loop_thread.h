// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <future>
#include <memory>
#include <thread>

#include "engine/io/runtime.h"

namespace mica {

// A thread that turns a loop of its own. Work reaches it through EventLoop::PostFromAnyThread and
// CallOn; the signals of the process are left to the others.
class LoopThread {
 public:
  // Completes when the loop turns. Errors as MakePosixRuntime.
  static Result<std::unique_ptr<LoopThread>> Start(IoEngineKind kind);

  // Ends the loop and waits for the thread. Everything that lived on the loop must be gone.
  ~LoopThread();
  LoopThread(const LoopThread&) = delete;
  LoopThread& operator=(const LoopThread&) = delete;

  [[nodiscard]] EventLoop& loop() noexcept { return *loop_; }
  // To be used on the thread.
  [[nodiscard]] Host& host() noexcept { return *host_; }

 private:
  LoopThread() = default;
  void Main(IoEngineKind kind, std::promise<Result<void>> started);

  EventLoop* loop_ = nullptr;
  Host* host_ = nullptr;
  bool stop_ = false;  // the thread's own
  std::thread thread_;
};

}  // namespace mica
