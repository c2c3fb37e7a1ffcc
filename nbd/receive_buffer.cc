// SPDX-License-Identifier: Apache-2.0
#include "nbd/receive_buffer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/base/check.h"

namespace mica::nbd {

void ReceiveBuffer::MakeRoom(size_t wanted) noexcept {
  const size_t kept = end_ - begin_;
  if (kept != 0 && wanted <= kCapacityBytes - begin_ && end_ <= kCapacityBytes / 2) return;
  if (kept != 0) std::memmove(memory_.data(), memory_.data() + begin_, kept);
  begin_ = 0;
  end_ = kept;
}

void ReceiveBuffer::Preload(ConstBytes bytes) noexcept {
  MICA_CHECK(begin_ == end_ && bytes.size() <= kCapacityBytes);
  if (!bytes.empty()) std::memcpy(memory_.data(), bytes.data(), bytes.size());
  begin_ = 0;
  end_ = bytes.size();
}

size_t ReceiveBuffer::Take(Bytes out) noexcept {
  const size_t count = std::min(out.size(), end_ - begin_);
  if (count != 0) std::memcpy(out.data(), memory_.data() + begin_, count);
  begin_ += count;
  return count;
}

Async<bool> ReceiveBuffer::Fill(size_t wanted) {
  MICA_CHECK(wanted <= kCapacityBytes);
  while (end_ - begin_ < wanted) {
    MakeRoom(wanted);
    const size_t missing = wanted - (end_ - begin_);
    const size_t read_ahead = std::exchange(next_receive_max_, kCapacityBytes);
    const size_t count_max = std::min(kCapacityBytes - end_, std::max(read_ahead, missing));
    const Bytes room = memory_.span().subspan(end_, count_max);
    CO_ASSIGN(const size_t count, co_await stream_->Receive(room));
    if (count == 0) co_return false;
    end_ += count;
  }
  co_return true;
}

Async<bool> ReceiveBuffer::Read(Bytes out) {
  Bytes rest = out.subspan(Take(out));
  if (rest.size() >= kDirectBytesMin) next_receive_max_ = kHeaderReadAhead;
  while (rest.size() >= kDirectBytesMin) {
    CO_ASSIGN(const size_t count, co_await stream_->Receive(rest));
    if (count == 0) co_return false;
    rest = rest.subspan(count);
  }
  if (rest.empty()) co_return true;
  CO_ASSIGN(const bool filled, co_await Fill(rest.size()));
  if (filled) Take(rest);
  co_return filled;
}

Async<bool> ReceiveBuffer::Skip(uint64_t count) {
  for (;;) {
    const uint64_t step = std::min<uint64_t>(count, end_ - begin_);
    begin_ += step;
    count -= step;
    if (count == 0) co_return true;
    CO_ASSIGN(const bool more, co_await Fill(1));
    if (!more) co_return false;
  }
}

}  // namespace mica::nbd
