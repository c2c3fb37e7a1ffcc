// SPDX-License-Identifier: Apache-2.0
// AioEngine: Linux native asynchronous I/O (libaio) for files opened with direct I/O, where
// io_uring is missing. On other files its submission would block, so they go to a PreadEngine, as
// do sync and fallocate, which it does not do asynchronously.
#pragma once

#include <libaio.h>

#include <memory>

#include "engine/async/epoll_loop.h"
#include "engine/base/unique_fd.h"
#include "engine/io/io_op.h"

namespace mica {

class AioEngine final : public IoEngine, private EpollLoop::Client {
 public:
  // kUnsupported, with the reason, where the kernel has no (more) contexts. The loop and the
  // threads must outlive the engine; nothing may be in flight when it is destroyed.
  static Result<std::unique_ptr<AioEngine>> Create(EpollLoop& loop, IoEngine& threads);
  ~AioEngine() override;

  void Submit(IoOp& op) override;

 private:
  // Small, because all contexts of the machine share fs.aio-max-nr.
  static constexpr unsigned kDepth = 256;

  AioEngine(EpollLoop& loop, IoEngine& threads, UniqueFd event)
      : loop_(loop), threads_(threads), event_(std::move(event)) {}
  bool BeforeWait() override;
  void OnReadable() override;
  // Hands over up to `count` queued operations; how many were dealt with, here or by the kernel.
  // `failed_at_once` counts those that have completed already.
  unsigned SubmitBatch(unsigned count, unsigned& failed_at_once);

  EpollLoop& loop_;
  IoEngine& threads_;
  const UniqueFd event_;  // an eventfd that the kernel signals per completion
  io_context_t context_ = nullptr;
  bool attached_ = false;
  IoOpList queued_;
  unsigned queued_count_ = 0;
  unsigned in_flight_ = 0;
};

}  // namespace mica
