// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/apply_buffer.h"

#include <algorithm>
#include <limits>

namespace mica::guest {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{1} << 20;
// Longer runs of zeroes are handed on as such.
constexpr uint64_t kZeroesGatheredMax = uint64_t{256} << 10;

}  // namespace

ApplyBuffer::ApplyBuffer(BlockDevice& inner, uint64_t bytes_max)
    : ForwardingDevice(inner), bytes_max_(bytes_max) {
  gathered_.emplace(inner, std::numeric_limits<uint64_t>::max());
}

Async<void> ApplyBuffer::Read(uint64_t offset, Bytes buffer) {
  return gathered_->Read(offset, buffer);
}

Async<void> ApplyBuffer::Write(uint64_t offset, ConstBytes buffer, Durability durability) {
  CO_TRY(co_await gathered_->Write(offset, buffer, durability));
  if (durability == Durability::kForced) co_return co_await Flush();
  co_return co_await HandOnIfFull(buffer.size());
}

Async<void> ApplyBuffer::WriteZeroes(ByteRange range, ZeroHint hint, Durability durability) {
  if (range.length > kZeroesGatheredMax) {
    CO_TRY(co_await HandOn());
    co_return co_await inner_.WriteZeroes(range, hint, durability);
  }
  CO_TRY(co_await gathered_->WriteZeroes(range, hint, durability));
  if (durability == Durability::kForced) co_return co_await Flush();
  co_return co_await HandOnIfFull(range.length);
}

Async<void> ApplyBuffer::Discard(ByteRange range, Durability durability) {
  return gathered_->Discard(range, durability);
}

Async<void> ApplyBuffer::Flush() {
  CO_TRY(co_await HandOn());
  co_return co_await inner_.Flush();
}

Async<std::vector<StatusExtent>> ApplyBuffer::Status(ByteRange range, size_t extents_max) {
  CO_TRY(co_await HandOn());
  co_return co_await inner_.Status(range, extents_max);
}

Async<void> ApplyBuffer::HandOnIfFull(uint64_t bytes) {
  bytes_written_ += bytes;
  if (bytes_written_ < bytes_max_) co_return Result<void>();
  co_return co_await HandOn();
}

Async<void> ApplyBuffer::HandOn() {
  const std::vector<ByteRange> ranges = gathered_->OverlaidRanges();
  std::vector<std::byte> piece(ranges.empty() ? 0 : kPieceBytes);
  for (const ByteRange& range : ranges) {
    for (uint64_t done = 0; done < range.length; done += kPieceBytes) {
      const Bytes bytes = Bytes(piece).first(std::min(kPieceBytes, range.length - done));
      CO_TRY(co_await gathered_->Read(range.offset + done, bytes));
      CO_TRY(co_await inner_.Write(range.offset + done, bytes, Durability::kVolatile));
    }
  }
  gathered_.emplace(inner_, std::numeric_limits<uint64_t>::max());
  bytes_written_ = 0;
  co_return Result<void>();
}

}  // namespace mica::guest
