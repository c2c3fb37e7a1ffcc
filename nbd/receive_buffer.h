// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "engine/base/aligned_buffer.h"
#include "nbd/stream.h"

namespace mica::nbd {

// Reads ahead from a stream, so that one receive brings many headers, while the bulk of a large
// payload goes straight to where it is wanted. Errors are the stream's. Loop thread only.
class ReceiveBuffer {
 public:
  static constexpr size_t kCapacityBytes = 256u << 10;

  explicit ReceiveBuffer(Stream& stream) : stream_(&stream), memory_(kCapacityBytes) {}

  // From now on receives from `stream` instead; nothing may be available.
  void Rebind(Stream& stream) noexcept { stream_ = &stream; }

  // Puts bytes, at most kCapacityBytes, in front of what will be received; nothing may be
  // available.
  void Preload(ConstBytes bytes) noexcept;

  // What has been received and not yet consumed. Valid until the next call of any other member.
  [[nodiscard]] ConstBytes available() const noexcept {
    return memory_.span().subspan(begin_, end_ - begin_);
  }
  void Consume(size_t count) noexcept { begin_ += count; }

  // Receives until at least `wanted` (at most kCapacityBytes) bytes are available; false when the
  // peer stops before that.
  Async<bool> Fill(size_t wanted);

  // Consumes what is available, at most out.size() bytes, into the front of `out`.
  size_t Take(Bytes out) noexcept;

  // Consumes exactly out.size() bytes into `out`; false as above.
  Async<bool> Read(Bytes out);

  // Consumes and forgets `count` bytes of any number; false as above.
  Async<bool> Skip(uint64_t count);

 private:
  // A rest of a payload at least this long is received in place instead of being copied.
  static constexpr size_t kDirectBytesMin = 16u << 10;
  // After such a payload the next header probably has one too: take little of it.
  static constexpr size_t kHeaderReadAhead = 4096;

  void MakeRoom(size_t wanted) noexcept;

  Stream* stream_;
  AlignedBuffer memory_;
  size_t begin_ = 0;
  size_t end_ = 0;
  size_t next_receive_max_ = kCapacityBytes;
};

}  // namespace mica::nbd
