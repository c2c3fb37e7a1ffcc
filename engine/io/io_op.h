// SPDX-License-Identifier: Apache-2.0
// IoOp and IoEngine: one operation of the kernel on one descriptor, and who performs it. Internal
// to engine/io. An operation lives in the frame of the coroutine that awaits it, so a request costs
// no allocation of its own.
#pragma once

#include <coroutine>
#include <cstdint>
#include <utility>

#include "engine/base/bytes.h"
#include "engine/base/range.h"

namespace mica {

struct IoOp {
  enum class Kind : uint8_t { kRead, kWrite, kDataSync, kFallocate, kPoll };

  Kind kind;
  int fd;
  int flags = 0;              // kFallocate: its mode; kPoll: the events to wait for
  std::byte* data = nullptr;  // kRead, kWrite (which only reads from it)
  uint64_t offset = 0;
  uint64_t length = 0;

  int64_t result = 0;  // as the system call would return it, or -errno
  std::coroutine_handle<> waiter;
  IoOp* next = nullptr;  // in whichever list holds it

  static IoOp Read(int fd, uint64_t offset, Bytes buffer) noexcept {
    return {.kind = Kind::kRead,
            .fd = fd,
            .data = buffer.data(),
            .offset = offset,
            .length = buffer.size()};
  }
  static IoOp Write(int fd, uint64_t offset, ConstBytes buffer) noexcept {
    return {.kind = Kind::kWrite,
            .fd = fd,
            .data = const_cast<std::byte*>(buffer.data()),
            .offset = offset,
            .length = buffer.size()};
  }
  static IoOp DataSync(int fd) noexcept { return {.kind = Kind::kDataSync, .fd = fd}; }
  static IoOp Fallocate(int fd, int mode, ByteRange range) noexcept {
    return {.kind = Kind::kFallocate,
            .fd = fd,
            .flags = mode,
            .offset = range.offset,
            .length = range.length};
  }
  static IoOp PollFor(int fd, int events) noexcept {
    return {.kind = Kind::kPoll, .fd = fd, .flags = events};
  }
};

// First in, first out; does not own what it lists.
class IoOpList {
 public:
  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }
  void Push(IoOp& op) noexcept {
    op.next = nullptr;
    (head_ == nullptr ? head_ : tail_->next) = &op;
    tail_ = &op;
  }
  // Puts an operation that was taken out back in front.
  void PushFront(IoOp& op) noexcept {
    op.next = head_;
    if (head_ == nullptr) tail_ = &op;
    head_ = &op;
  }
  IoOp& Pop() noexcept {
    IoOp& op = *head_;
    head_ = std::exchange(op.next, nullptr);
    return op;
  }

 private:
  IoOp* head_ = nullptr;
  IoOp* tail_ = nullptr;
};

// Loop thread only.
class IoEngine {
 public:
  IoEngine() = default;
  IoEngine(const IoEngine&) = delete;
  IoEngine& operator=(const IoEngine&) = delete;
  virtual ~IoEngine() = default;

  // Sets op.result and posts op.waiter to the loop when done, never before returning to the loop.
  virtual void Submit(IoOp& op) = 0;
};

// co_await gives op.result. `op` stays alive until then.
class IoWait {
 public:
  IoWait(IoEngine& engine, IoOp& op) noexcept : engine_(engine), op_(op) {}
  bool await_ready() noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    op_.waiter = handle;
    engine_.Submit(op_);
  }
  [[nodiscard]] int64_t await_resume() const noexcept { return op_.result; }

 private:
  IoEngine& engine_;
  IoOp& op_;
};

}  // namespace mica
