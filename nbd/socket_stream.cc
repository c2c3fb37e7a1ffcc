// SPDX-License-Identifier: Apache-2.0
#include "nbd/socket_stream.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "nbd/socket_address.h"

namespace mica::nbd {

namespace {

// Options are an optimisation: a socket that does not know one works without.
void SetOption(int socket, int level, int option, int value) {
  (void)::setsockopt(socket, level, option, &value, sizeof value);
}

}  // namespace

SocketStream::SocketStream(EventLoop& loop, UniqueFd socket)
    : loop_(&loop), socket_(std::move(socket)), readable_(std::make_shared<ReadableWait>()) {
  if (SocketFamily(socket_.get()) == AF_UNIX) {
    SetOption(socket_.get(), SOL_SOCKET, SO_SNDBUF, kUnixSendBufferBytes);
  } else {
    SetOption(socket_.get(), IPPROTO_TCP, TCP_NODELAY, 1);
    SetOption(socket_.get(), SOL_SOCKET, SO_KEEPALIVE, 1);
  }
}

Async<size_t> SocketStream::Receive(Bytes buffer) {
  while (!stopped_) {
    if (!drained_) {
      const ssize_t count = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (count >= 0) {
        drained_ = static_cast<size_t>(count) < buffer.size();
        co_return static_cast<size_t>(count);
      }
      if (errno == EINTR) continue;
      if (errno != EAGAIN) co_return ErrnoError(errno, "receive");
    }
    drained_ = false;
    if (!readable_->pending) loop_->Spawn(WaitReadable(*loop_, socket_.get(), readable_));
    if (readable_->pending) {
      ReadableWait::Awaiter until_readable{*readable_};
      co_await until_readable;
    }
    if (std::exchange(interrupted_, false)) {
      co_return Error{Errc::kCancelled, "the receive was interrupted"};
    }
    CO_TRY(std::exchange(readable_->ended, Result<void>()));
  }
  co_return size_t{0};
}

Task<void> SocketStream::WaitReadable(EventLoop& loop, int socket,
                                      std::shared_ptr<ReadableWait> wait) {
  wait->pending = true;
  wait->ended = co_await loop.WaitReady(socket, Readiness::kReadable);
  wait->pending = false;
  // At once: a turn of the loop in between would cost every request that is waited for.
  if (wait->receiver) std::exchange(wait->receiver, {}).resume();
}

bool SocketStream::InterruptReceive() noexcept {
  interrupted_ = static_cast<bool>(readable_->receiver);
  if (interrupted_) loop_->Post(std::exchange(readable_->receiver, {}));
  return true;
}

void SocketStream::MoveTo(EventLoop& loop) noexcept {
  loop_ = &loop;
  readable_ = std::make_shared<ReadableWait>();
}

Async<void> SocketStream::Send(std::span<const ConstBytes> parts) {
  iov_.clear();
  for (const ConstBytes part : parts) {
    // sendmsg does not write to what its parts point to.
    iov_.push_back({const_cast<std::byte*>(part.data()), part.size()});
  }
  size_t first = 0;
  bool waited = false;
  while (first != iov_.size()) {
    CO_ASSIGN(const size_t sent, TrySend(first));
    first = Advance(first, sent);
    if (sent == 0) {
      // io_uring's poll reports the hang-up of a half-closed peer whatever one waits for, at once
      // and again and again: then look every now and then instead.
      if (waited) co_await loop_->SleepUntil(loop_->Now() + kFalseAlarmPause);
      CO_TRY(co_await loop_->WaitReady(socket_.get(), Readiness::kWritable));
    }
    waited = sent == 0;
  }
  co_return Result<void>();
}

Result<size_t> SocketStream::TrySend(size_t first) {
  msghdr message{};
  message.msg_iov = &iov_[first];
  message.msg_iovlen = std::min(iov_.size() - first, kPartsPerCallMax);
  for (;;) {
    const ssize_t sent = ::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) return static_cast<size_t>(sent);
    if (errno == EAGAIN) return size_t{0};
    if (errno != EINTR) return ErrnoError(errno, "send");
  }
}

size_t SocketStream::Advance(size_t first, size_t sent) noexcept {
  while (first != iov_.size() && sent >= iov_[first].iov_len) sent -= iov_[first++].iov_len;
  if (sent != 0) {
    iovec& part = iov_[first];
    part.iov_base = static_cast<std::byte*>(part.iov_base) + sent;
    part.iov_len -= sent;
  }
  return first;
}

void SocketStream::StopReceiving() noexcept {
  stopped_ = true;
  ::shutdown(socket_.get(), SHUT_RD);  // wakes a pending wait
}

Async<void> SocketStream::Finish() {
  if (::shutdown(socket_.get(), SHUT_WR) != 0) co_return ErrnoError(errno, "shut down");
  // Closing a TCP socket with unread bytes resets the connection, which can destroy replies the
  // peer has not read yet. So take what is there; more than a little nobody owes to a leaving
  // client.
  constexpr int kTriesMax = 64;
  std::array<std::byte, 4096> ignored;
  for (int i = 0; i < kTriesMax; ++i) {
    if (::recv(socket_.get(), ignored.data(), ignored.size(), MSG_DONTWAIT) <= 0) break;
  }
  co_return Result<void>();
}

void SocketStream::Abort() noexcept {
  stopped_ = true;
  ::shutdown(socket_.get(), SHUT_RDWR);
}

std::string PeerName(int socket) {
  if (SocketFamily(socket) == AF_UNIX) {
    ucred peer{};
    socklen_t length = sizeof peer;
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return "unix client";
    return fmt::format("unix client pid {} uid {}", peer.pid, peer.uid);
  }
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);  // the socket API's own idiom
  if (::getpeername(socket, generic, &length) != 0) return "client";
  return AddressText(address, length);
}

}  // namespace mica::nbd
