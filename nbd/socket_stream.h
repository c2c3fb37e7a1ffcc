// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/uio.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "engine/async/event_loop.h"
#include "engine/base/unique_fd.h"
#include "nbd/stream.h"

namespace mica::nbd {

// A connected stream socket. Tries each call without blocking first and asks the loop to wait only
// when the kernel says it would block.
class SocketStream final : public Stream {
 public:
  // Sets the options every connection wants: no Nagle delay and keepalive on TCP, a large send
  // buffer on unix sockets.
  SocketStream(EventLoop& loop, UniqueFd socket);

  [[nodiscard]] int fd() const noexcept { return socket_.get(); }

  Async<size_t> Receive(Bytes buffer) override;
  Async<void> Send(std::span<const ConstBytes> parts) override;
  void StopReceiving() noexcept override;
  Async<void> Finish() override;
  bool InterruptReceive() noexcept override;
  UniqueFd TakeSocket() noexcept override { return std::move(socket_); }
  void MoveTo(EventLoop& loop) noexcept override;
  void Abort() noexcept override;

 private:
  static constexpr int kUnixSendBufferBytes = 2 << 20;
  static constexpr size_t kPartsPerCallMax = 1024;  // IOV_MAX
  static constexpr std::chrono::milliseconds kFalseAlarmPause{10};

  // Sends what the kernel takes of iov_ from `first` on; the number of bytes, 0 when it would
  // block.
  Result<size_t> TrySend(size_t first);
  // Drops `sent` bytes from the front of iov_[first…]; the index of the first part not fully sent.
  size_t Advance(size_t first, size_t sent) noexcept;

  // A wait for the socket that outlives the Receive it was begun for, when that is interrupted.
  struct ReadableWait {
    std::coroutine_handle<> receiver;  // suspended until it is resumed
    bool pending = false;
    Result<void> ended;

    // g++ 12 copies an awaited object into the frame, so this refers to the one that counts.
    struct Awaiter {
      ReadableWait& wait;
      bool await_ready() noexcept { return false; }
      void await_suspend(std::coroutine_handle<> handle) noexcept { wait.receiver = handle; }
      void await_resume() noexcept {}
    };
  };
  static Task<void> WaitReadable(EventLoop& loop, int socket, std::shared_ptr<ReadableWait> wait);

  EventLoop* loop_;
  UniqueFd socket_;
  std::shared_ptr<ReadableWait> readable_;
  bool interrupted_ = false;
  std::vector<iovec> iov_;  // of the pending Send
  bool stopped_ = false;
  bool drained_ = false;  // the last receive took all there was: waiting beats another try
};

// Who is at the other end of a connected socket, for the log.
std::string PeerName(int socket);

}  // namespace mica::nbd
