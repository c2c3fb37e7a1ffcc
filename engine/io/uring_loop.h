// SPDX-License-Identifier: Apache-2.0
// UringLoop: an event loop that is one io_uring, and the I/O engine on it. Files, sockets, timers
// and wake-ups of other threads are all waited for in one system call, which also submits
// everything that was queued during the turn.
#pragma once

#include <liburing.h>

#include <memory>

#include "engine/async/event_loop.h"
#include "engine/base/unique_fd.h"
#include "engine/io/io_op.h"

namespace mica {

// The ring belongs to the thread that made it; only PostFromAnyThread may be called by others.
class UringLoop final : public EventLoop, public IoEngine {
 public:
  // kUnsupported, with the reason, where io_uring is missing, forbidden or too old.
  static Result<std::unique_ptr<UringLoop>> Create();
  ~UringLoop() override;

  void Submit(IoOp& op) override { queued_.Push(op); }
  Async<void> WaitReady(int fd, Readiness readiness) override;
  [[nodiscard]] Time Now() const noexcept override;

 private:
  explicit UringLoop(UniqueFd wake) : wake_(std::move(wake)) {}
  Result<void> Init();
  [[nodiscard]] Result<void> CheckFeatures();

  void Poll(bool may_wait, Time deadline) override;
  void Wake() noexcept override;
  // Moves queued operations into the submission queue; what finds no room stays queued.
  void FillSubmissionQueue() noexcept;
  void Enter(bool may_wait, Time deadline) noexcept;
  [[nodiscard]] bool KernelHasWork() const noexcept;
  void Reap();
  void ArmWake() noexcept;

  io_uring ring_{};
  bool ring_exists_ = false;
  IoOpList queued_;
  UniqueFd wake_;  // an eventfd that the ring always reads from
  uint64_t wake_value_ = 0;
  IoOp wake_op_{};
  bool wake_is_armed_ = false;
  bool stopping_ = false;
};

}  // namespace mica
