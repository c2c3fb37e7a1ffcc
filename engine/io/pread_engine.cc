// SPDX-License-Identifier: Apache-2.0
#include "engine/io/pread_engine.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace mica {

namespace {

int64_t Perform(const IoOp& op) noexcept {
  const auto offset = static_cast<off_t>(op.offset);
  const auto length = static_cast<off_t>(op.length);
  int64_t result = -1;
  switch (op.kind) {
    case IoOp::Kind::kRead:
      result = ::pread(op.fd, op.data, op.length, offset);
      break;
    case IoOp::Kind::kWrite:
      result = ::pwrite(op.fd, op.data, op.length, offset);
      break;
    case IoOp::Kind::kDataSync:
      result = ::fdatasync(op.fd);
      break;
    case IoOp::Kind::kFallocate:
      result = ::fallocate(op.fd, op.flags, offset, length);
      break;
    case IoOp::Kind::kPoll:
      return -EOPNOTSUPP;  // the loop's business
  }
  return result < 0 ? -errno : result;
}

}  // namespace

PreadEngine::~PreadEngine() {
  {
    const std::lock_guard lock(mutex_);
    MICA_CHECK(queued_.empty() && completed_.empty());
    stop_ = true;
  }
  work_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void PreadEngine::Submit(IoOp& op) {
  if (use_ == PreadThreads::kNone) {
    op.result = Perform(op);
    loop_.Post(op.waiter);
    return;
  }
  bool start_thread = false;
  {
    const std::lock_guard lock(mutex_);
    queued_.Push(op);
    ++queued_count_;
    start_thread = queued_count_ > idle_threads_ && threads_.size() < kThreadsMax;
  }
  if (start_thread && StartThread()) return;
  work_.notify_one();
}

bool PreadEngine::StartThread() {
  try {
    threads_.emplace_back([this] { Work(); });
    return true;
  } catch (const std::system_error&) {
    if (!threads_.empty()) return false;  // those there are will do
  }
  const std::lock_guard lock(mutex_);  // no thread at all: the loop's own has to do it
  IoOp& op = queued_.Pop();
  --queued_count_;
  op.result = Perform(op);
  loop_.Post(op.waiter);
  return true;
}

void PreadEngine::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    ++idle_threads_;
    work_.wait(lock, [this] { return stop_ || !queued_.empty(); });
    --idle_threads_;
    if (queued_.empty()) return;
    IoOp& op = queued_.Pop();
    --queued_count_;
    lock.unlock();
    op.result = Perform(op);
    lock.lock();
    completed_.Push(op);
    if (drain_posted_) continue;
    drain_posted_ = true;
    lock.unlock();
    loop_.PostFromAnyThread([this] { Drain(); });
    lock.lock();
  }
}

void PreadEngine::Drain() {
  IoOpList completed;
  {
    const std::lock_guard lock(mutex_);
    completed = std::exchange(completed_, {});
    drain_posted_ = false;
  }
  while (!completed.empty()) loop_.Post(completed.Pop().waiter);
}

}  // namespace mica
