// SPDX-License-Identifier: Apache-2.0
#include "nbd/testing/memory_device.h"

#include <algorithm>
#include <cstring>

#include "engine/base/checked_math.h"

namespace mica::nbd {

// The server must never let such a request through: a check, not an error.
Async<void> MemoryDevice::Enter(Call call) {
  MICA_CHECK(FitsInside(call.range, info_.size));
  if (keep_calls_) calls_.push_back(call);
  while (held_) {
    ++waiting_;
    co_await gate_.Wait();
    --waiting_;
  }
  if (failure_) co_return Error(*failure_);
  co_return Result<void>();
}

Async<void> MemoryDevice::Read(uint64_t offset, Bytes buffer) {
  const Call call{.operation = Operation::kRead, .range = {offset, buffer.size()}};
  CO_TRY(co_await Enter(call));
  for (size_t at = 0; at < buffer.size();) {
    const uint64_t position = offset + at;
    const size_t inside = position % kBlockBytes;
    const size_t count = std::min<size_t>(buffer.size() - at, kBlockBytes - inside);
    const auto found = blocks_.find(position / kBlockBytes);
    if (found == blocks_.end()) {
      FillZero(buffer.subspan(at, count));
    } else {
      std::memcpy(&buffer[at], &found->second[inside], count);
    }
    at += count;
  }
  co_return Result<void>();
}

Async<void> MemoryDevice::Write(uint64_t offset, ConstBytes buffer, Durability durability) {
  const Call call{
      .operation = Operation::kWrite, .range = {offset, buffer.size()}, .durability = durability};
  CO_TRY(co_await Enter(call));
  for (size_t at = 0; at < buffer.size();) {
    const uint64_t position = offset + at;
    const size_t inside = position % kBlockBytes;
    const size_t count = std::min<size_t>(buffer.size() - at, kBlockBytes - inside);
    std::memcpy(&blocks_[position / kBlockBytes][inside], &buffer[at], count);
    at += count;
  }
  co_return Result<void>();
}

void MemoryDevice::Zero(ByteRange range) {
  auto block = blocks_.lower_bound(range.offset / kBlockBytes);
  while (block != blocks_.end() && block->first * kBlockBytes < range.end()) {
    const ByteRange whole{block->first * kBlockBytes, kBlockBytes};
    const ByteRange part = Intersect(whole, range);
    if (part == whole) {
      block = blocks_.erase(block);
    } else {
      std::memset(&block->second[part.offset - whole.offset], 0, part.length);
      ++block;
    }
  }
}

Async<void> MemoryDevice::WriteZeroes(ByteRange range, ZeroHint hint, Durability durability) {
  const Call call{
      .operation = Operation::kWriteZeroes, .range = range, .durability = durability, .hint = hint};
  CO_TRY(co_await Enter(call));
  Zero(range);
  co_return Result<void>();
}

Async<void> MemoryDevice::Discard(ByteRange range, Durability durability) {
  const Call call{.operation = Operation::kDiscard, .range = range, .durability = durability};
  CO_TRY(co_await Enter(call));
  Zero(range);
  co_return Result<void>();
}

Async<void> MemoryDevice::Flush() {
  const Call call{.operation = Operation::kFlush};
  co_return co_await Enter(call);
}

Async<std::vector<StatusExtent>> MemoryDevice::Status(ByteRange range, size_t extents_max) {
  const Call call{.operation = Operation::kStatus, .range = range};
  CO_TRY(co_await Enter(call));
  std::vector<StatusExtent> extents;
  while (!range.empty() && extents.size() < extents_max) {
    auto block = blocks_.lower_bound(range.offset / kBlockBytes);
    const bool data = block != blocks_.end() && block->first == range.offset / kBlockBytes;
    uint64_t end = range.end();
    if (data) {
      uint64_t next = block->first;
      while (block != blocks_.end() && block->first == next) ++block, ++next;
      end = std::min(end, next * kBlockBytes);
    } else if (block != blocks_.end()) {
      end = std::min(end, block->first * kBlockBytes);
    }
    extents.push_back(
        {.length = end - range.offset, .hole = !data, .zero = !data, .depth = data ? 1u : 0u});
    range = RangeBetween(end, range.end());
  }
  co_return extents;
}

}  // namespace mica::nbd
