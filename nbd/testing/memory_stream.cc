// SPDX-License-Identifier: Apache-2.0
#include "nbd/testing/memory_stream.h"

#include <algorithm>
#include <cstring>

namespace mica::nbd {

MemoryStream::Pair MemoryStream::MakePair(EventLoop& loop, size_t capacity, size_t receive_max) {
  const auto there = std::make_shared<Pipe>(loop, capacity);
  const auto back = std::make_shared<Pipe>(loop, capacity);
  // The constructor is private: make_unique cannot reach it.
  return {std::unique_ptr<MemoryStream>(new MemoryStream(there, back, SIZE_MAX)),
          std::unique_ptr<MemoryStream>(new MemoryStream(back, there, receive_max))};
}

ConstBytes MemoryStream::Pipe::Readable() const noexcept {
  return ConstBytes(ring).subspan(begin, std::min(size, ring.size() - begin));
}

Bytes MemoryStream::Pipe::Writable() noexcept {
  const size_t at = (begin + size) % ring.size();
  return Bytes(ring).subspan(at, std::min(ring.size() - size, ring.size() - at));
}

Async<size_t> MemoryStream::Receive(Bytes buffer) {
  while (in_->size == 0 && !in_->write_closed && !in_->read_closed) {
    co_await in_->changed_for_reader.Wait();
  }
  if (in_->read_closed) co_return size_t{0};
  const ConstBytes there = in_->Readable();
  const size_t count = std::min({buffer.size(), there.size(), receive_max_});
  if (count != 0) std::memcpy(buffer.data(), there.data(), count);
  in_->begin = (in_->begin + count) % in_->ring.size();
  in_->size -= count;
  in_->changed_for_writer.NotifyAll();
  co_return count;
}

Async<void> MemoryStream::Send(std::span<const ConstBytes> parts) {
  for (ConstBytes part : parts) {
    while (!part.empty()) {
      if (out_->read_closed || out_->write_closed) {
        co_return Error{Errc::kIo, EPIPE, "the peer has closed the connection"};
      }
      const Bytes room = out_->Writable();
      const size_t count = std::min(part.size(), room.size());
      if (count == 0) {
        co_await out_->changed_for_writer.Wait();
        continue;
      }
      std::memcpy(room.data(), part.data(), count);
      out_->size += count;
      part = part.subspan(count);
      out_->changed_for_reader.NotifyAll();
    }
  }
  co_return Result<void>();
}

void MemoryStream::StopReceiving() noexcept {
  in_->read_closed = true;
  in_->changed_for_reader.NotifyAll();
  in_->changed_for_writer.NotifyAll();
}

Async<void> MemoryStream::Finish() {
  out_->write_closed = true;
  out_->changed_for_reader.NotifyAll();
  out_->changed_for_writer.NotifyAll();
  co_return Result<void>();
}

void MemoryStream::Abort() noexcept {
  StopReceiving();
  out_->write_closed = true;
  out_->changed_for_reader.NotifyAll();
  out_->changed_for_writer.NotifyAll();
}

}  // namespace mica::nbd
