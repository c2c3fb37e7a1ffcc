// SPDX-License-Identifier: Apache-2.0
#include "engine/io/loop_thread.h"

#include <csignal>
#include <utility>

namespace mica {

Result<std::unique_ptr<LoopThread>> LoopThread::Start(IoEngineKind kind) {
  std::unique_ptr<LoopThread> made(new LoopThread);
  std::promise<Result<void>> started;
  std::future<Result<void>> result = started.get_future();
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);  // inherited by the thread
  made->thread_ = std::thread(&LoopThread::Main, made.get(), kind, std::move(started));
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  TRY(result.get());
  return made;
}

LoopThread::~LoopThread() {
  if (loop_ != nullptr) loop_->PostFromAnyThread([this] { stop_ = true; });
  if (thread_.joinable()) thread_.join();
}

void LoopThread::Main(IoEngineKind kind, std::promise<Result<void>> started) {
  const Result<std::unique_ptr<Runtime>> runtime = MakePosixRuntime(kind);
  if (!runtime) {
    started.set_value(Error(runtime.error()));
    return;
  }
  loop_ = &(*runtime)->loop();
  host_ = &(*runtime)->host();
  started.set_value({});
  (*runtime)->loop().RunUntil([this] { return stop_; });
}

}  // namespace mica
