// SPDX-License-Identifier: Apache-2.0
#include "engine/async/epoll_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <array>
#include <cerrno>
#include <ctime>

#include "engine/async/monotonic_clock.h"

namespace mica {

namespace {

constexpr size_t kEventsPerPoll = 64;

int Control(int epoll_fd, int operation, int fd, uint32_t events) noexcept {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  return ::epoll_ctl(epoll_fd, operation, fd, &event) == 0 ? 0 : errno;
}

}  // namespace

Result<std::unique_ptr<EpollLoop>> EpollLoop::Create() {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return ErrnoError(errno, "epoll_create1");
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) return ErrnoError(errno, "eventfd");
  const int error = Control(epoll.get(), EPOLL_CTL_ADD, wake.get(), EPOLLIN);
  if (error != 0) return ErrnoError(error, "epoll_ctl");
  return std::unique_ptr<EpollLoop>(new EpollLoop(std::move(epoll), std::move(wake)));
}

Result<void> EpollLoop::Attach(int fd, Client& client) {
  const int error = Control(epoll_.get(), EPOLL_CTL_ADD, fd, EPOLLIN);
  if (error != 0) return ErrnoError(error, "epoll_ctl");
  clients_[fd] = &client;
  return {};
}

void EpollLoop::Detach(int fd) noexcept {
  clients_.erase(fd);
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

EventLoop::Time EpollLoop::Now() const noexcept {
  return MonotonicNow();
}

int EpollLoop::Arm(int fd, const Waiters& waiters) noexcept {
  // A half-closed peer is news for a reader only; a writer would be woken by it for ever.
  uint32_t events = EPOLLONESHOT;
  if (waiters.reader) events |= EPOLLIN | EPOLLRDHUP;
  if (waiters.writer) events |= EPOLLOUT;
  // A registration disappears with its descriptor, unseen by us; so the kernel is asked.
  const int error = Control(epoll_.get(), EPOLL_CTL_MOD, fd, events);
  return error == ENOENT ? Control(epoll_.get(), EPOLL_CTL_ADD, fd, events) : error;
}

// Registers when it suspends; resumed by OnEvent.
class EpollLoop::ReadyAwaiter {
 public:
  ReadyAwaiter(EpollLoop& loop, int fd, Readiness readiness) noexcept
      : loop_(loop), fd_(fd), readiness_(readiness) {}
  bool await_ready() noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> handle) {
    Waiters& waiters = loop_.waiters_[fd_];
    std::coroutine_handle<>& slot =
        readiness_ == Readiness::kReadable ? waiters.reader : waiters.writer;
    MICA_CHECK(!slot);  // one waiter per descriptor and direction
    slot = handle;
    error_ = loop_.Arm(fd_, waiters);
    if (error_ == 0) return true;
    slot = {};
    if (!waiters.reader && !waiters.writer) loop_.waiters_.erase(fd_);
    return false;
  }
  [[nodiscard]] int await_resume() const noexcept { return error_; }

 private:
  EpollLoop& loop_;
  int fd_;
  Readiness readiness_;
  int error_ = 0;
};

Async<void> EpollLoop::WaitReady(int fd, Readiness readiness) {
  ReadyAwaiter awaiter(*this, fd, readiness);
  const int error = co_await awaiter;
  // A regular file has no readiness: it never blocks as far as poll is concerned.
  if (error != 0 && error != EPERM) co_return ErrnoError(error, "wait for a descriptor");
  co_return Result<void>();
}

void EpollLoop::OnEvent(int fd, uint32_t events) {
  const auto found = waiters_.find(fd);
  if (found == waiters_.end()) return;
  Waiters& waiters = found->second;
  const bool broken = (events & (EPOLLERR | EPOLLHUP)) != 0;
  if (waiters.reader && (broken || (events & (EPOLLIN | EPOLLRDHUP)) != 0)) {
    Post(std::exchange(waiters.reader, {}));
  }
  if (waiters.writer && (broken || (events & EPOLLOUT) != 0)) {
    Post(std::exchange(waiters.writer, {}));
  }
  if (!waiters.reader && !waiters.writer) {
    waiters_.erase(found);
  } else if (Arm(fd, waiters) != 0) {
    // Cannot be watched any more: let the waiter find out by its own read or write.
    if (waiters.reader) Post(waiters.reader);
    if (waiters.writer) Post(waiters.writer);
    waiters_.erase(found);
  }
}

void EpollLoop::DrainWake() noexcept {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(wake_.get(), &count, sizeof count);
}

void EpollLoop::Wake() noexcept {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t put = ::write(wake_.get(), &one, sizeof one);
}

void EpollLoop::Poll(bool may_wait, Time deadline) {
  for (const auto& [fd, client] : clients_) {
    if (client->BeforeWait()) may_wait = false;
  }
  timespec timeout{};
  if (may_wait && deadline != Time::max()) timeout = TimeoutUntil(deadline);
  const bool forever = may_wait && deadline == Time::max();
  std::array<epoll_event, kEventsPerPoll> events;
  const int count = ::epoll_pwait2(epoll_.get(), events.data(), static_cast<int>(events.size()),
                                   forever ? nullptr : &timeout, nullptr);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<size_t>(i)];
    if (event.data.fd == wake_.get()) {
      DrainWake();
    } else if (const auto client = clients_.find(event.data.fd); client != clients_.end()) {
      client->second->OnReadable();
    } else {
      OnEvent(event.data.fd, event.events);
    }
  }
}

}  // namespace mica
