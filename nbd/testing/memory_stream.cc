// SPDX-License-Identifier: Apache-2.0
#include "nbd/testing/memory_stream.h"

#include <algorithm>

namespace mica::nbd {

MemoryStream::Pair MemoryStream::MakePair(EventLoop& loop, size_t capacity, size_t receive_max) {
  const auto there = std::make_shared<Pipe>(loop, capacity);
  const auto back = std::make_shared<Pipe>(loop, capacity);
  // The constructor is private: make_unique cannot reach it.
  return {std::unique_ptr<MemoryStream>(new MemoryStream(there, back, receive_max)),
          std::unique_ptr<MemoryStream>(new MemoryStream(back, there, receive_max))};
}

Async<size_t> MemoryStream::Receive(Bytes buffer) {
  while (in_->bytes.empty() && !in_->write_closed && !in_->read_closed) {
    co_await in_->changed_for_reader.Wait();
  }
  if (in_->read_closed) co_return size_t{0};
  const size_t count = std::min({buffer.size(), in_->bytes.size(), receive_max_});
  const auto end = in_->bytes.begin() + static_cast<std::ptrdiff_t>(count);
  std::copy(in_->bytes.begin(), end, buffer.begin());
  in_->bytes.erase(in_->bytes.begin(), end);
  in_->changed_for_writer.NotifyAll();
  co_return count;
}

Async<void> MemoryStream::Send(std::span<const ConstBytes> parts) {
  for (ConstBytes part : parts) {
    while (!part.empty()) {
      if (out_->read_closed || out_->write_closed) {
        co_return Error{Errc::kIo, EPIPE, "the peer has closed the connection"};
      }
      const size_t count = std::min(part.size(), out_->capacity - out_->bytes.size());
      if (count == 0) {
        co_await out_->changed_for_writer.Wait();
        continue;
      }
      out_->bytes.insert(out_->bytes.end(), part.begin(),
                         part.begin() + static_cast<std::ptrdiff_t>(count));
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
