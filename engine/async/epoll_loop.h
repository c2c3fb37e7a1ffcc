// SPDX-License-Identifier: Apache-2.0
// EpollLoop: the event loop of hosts without a usable io_uring. It knows descriptors that become
// ready; file I/O is done by engines that attach to it (engine/io).
#pragma once

#include <memory>
#include <unordered_map>

#include "engine/async/event_loop.h"
#include "engine/base/unique_fd.h"

namespace mica {

class EpollLoop final : public EventLoop {
 public:
  // Something that queues work between turns and is told of completions by a descriptor.
  class Client {
   public:
    // Hands what is queued to the kernel, once a turn; true when something completed at once.
    virtual bool BeforeWait() = 0;
    // The attached descriptor is readable.
    virtual void OnReadable() = 0;

   protected:
    Client() = default;
    Client(const Client&) = default;
    Client& operator=(const Client&) = default;
    ~Client() = default;
  };

  static Result<std::unique_ptr<EpollLoop>> Create();

  // Both must outlive the attachment. At most one client per descriptor.
  Result<void> Attach(int fd, Client& client);
  void Detach(int fd) noexcept;

  Async<void> WaitReady(int fd, Readiness readiness) override;
  [[nodiscard]] Time Now() const noexcept override;

 private:
  struct Waiters {
    std::coroutine_handle<> reader;
    std::coroutine_handle<> writer;
  };
  class ReadyAwaiter;

  EpollLoop(UniqueFd epoll, UniqueFd wake) : epoll_(std::move(epoll)), wake_(std::move(wake)) {}
  void Poll(bool may_wait, Time deadline) override;
  void Wake() noexcept override;
  // Registers interest in what `waiters` wait for, once. Returns an errno, 0 for success.
  int Arm(int fd, const Waiters& waiters) noexcept;
  void OnEvent(int fd, uint32_t events);
  void DrainWake() noexcept;

  UniqueFd epoll_;
  UniqueFd wake_;  // an eventfd
  std::unordered_map<int, Waiters> waiters_;
  std::unordered_map<int, Client*> clients_;
};

}  // namespace mica
