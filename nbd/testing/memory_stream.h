// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "engine/async/async_mutex.h"
#include "nbd/stream.h"

namespace mica::nbd {

// A connection without a kernel: what one end sends the other receives. The twin of SocketStream
// for unit tests and fuzzing on a MemoryLoop.
class MemoryStream final : public Stream {
 public:
  using Pair = std::pair<std::unique_ptr<MemoryStream>, std::unique_ptr<MemoryStream>>;

  // Each direction holds at most `capacity` bytes; then Send waits. `receive_max` bounds what one
  // Receive of the second end gets, to make it see every possible cut.
  static Pair MakePair(EventLoop& loop, size_t capacity, size_t receive_max = SIZE_MAX);

  Async<size_t> Receive(Bytes buffer) override;
  Async<void> Send(std::span<const ConstBytes> parts) override;
  void StopReceiving() noexcept override;
  Async<void> Finish() override;
  void MoveTo(EventLoop&) noexcept override {}  // there is only one
  void Abort() noexcept override;

 private:
  struct Pipe {
    Pipe(EventLoop& loop, size_t capacity)
        : ring(capacity), changed_for_reader(loop), changed_for_writer(loop) {}
    // What there is, or what there is room for, up to the end of the ring.
    [[nodiscard]] ConstBytes Readable() const noexcept;
    [[nodiscard]] Bytes Writable() noexcept;

    std::vector<std::byte> ring;
    size_t begin = 0;  // of the `size` bytes that were sent and not received
    size_t size = 0;
    bool write_closed = false;
    bool read_closed = false;
    WaitList changed_for_reader;
    WaitList changed_for_writer;
  };

  MemoryStream(std::shared_ptr<Pipe> in, std::shared_ptr<Pipe> out, size_t receive_max)
      : in_(std::move(in)), out_(std::move(out)), receive_max_(receive_max) {}

  std::shared_ptr<Pipe> in_;
  std::shared_ptr<Pipe> out_;
  size_t receive_max_;
};

}  // namespace mica::nbd
