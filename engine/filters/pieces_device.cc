// SPDX-License-Identifier: Apache-2.0
#include "engine/filters/pieces_device.h"

#include <fmt/core.h>

#include <algorithm>

#include "engine/base/checked_math.h"

namespace mica {

namespace {

// What is left of `range` behind its first `length` bytes.
ByteRange Behind(ByteRange range, uint64_t length) {
  return RangeBetween(range.offset + length, range.end());
}

}  // namespace

PiecesDevice::PiecesDevice(BlockDevice& inner, std::vector<ByteRange> pieces)
    : ForwardingDevice(inner), pieces_(std::move(pieces)) {
  const uint64_t unit = info_.quick_zero_bytes;
  info_.size = 0;
  starts_.reserve(pieces_.size());
  for (const ByteRange& piece : pieces_) {
    MICA_CHECK(!piece.empty() && FitsInside(piece, inner.info().size));
    // Alignment is counted from the start of the inner device.
    if (unit != 0 && (piece.offset % unit != 0 || info_.size % unit != 0)) {
      info_.quick_zero_bytes = 0;
    }
    starts_.push_back(info_.size);
    info_.size += piece.length;
  }
}

Result<void> PiecesDevice::CheckRange(ByteRange range) const {
  if (FitsInside(range, info_.size)) return {};
  return Error{Errc::kOutOfRange,
               fmt::format("offset {} length {} is outside the volume of {} bytes", range.offset,
                           range.length, info_.size)};
}

ByteRange PiecesDevice::FirstPart(ByteRange range) const {
  const auto next = std::ranges::upper_bound(starts_, range.offset);
  const size_t index = static_cast<size_t>(next - starts_.begin()) - 1;
  const uint64_t inside = range.offset - starts_[index];
  const uint64_t left = pieces_[index].length - inside;
  return {pieces_[index].offset + inside, std::min(left, range.length)};
}

Async<void> PiecesDevice::Read(uint64_t offset, Bytes buffer) {
  ByteRange left{offset, buffer.size()};
  CO_TRY(CheckRange(left));
  while (!left.empty()) {
    const ByteRange part = FirstPart(left);
    CO_TRY(co_await inner_.Read(part.offset, buffer.first(part.length)));
    buffer = buffer.subspan(part.length);
    left = Behind(left, part.length);
  }
  co_return {};
}

Async<void> PiecesDevice::Write(uint64_t offset, ConstBytes buffer, Durability durability) {
  ByteRange left{offset, buffer.size()};
  CO_TRY(CheckRange(left));
  while (!left.empty()) {
    const ByteRange part = FirstPart(left);
    CO_TRY(co_await inner_.Write(part.offset, buffer.first(part.length), durability));
    buffer = buffer.subspan(part.length);
    left = Behind(left, part.length);
  }
  co_return {};
}

Async<void> PiecesDevice::WriteZeroes(ByteRange range, ZeroHint hint, Durability durability) {
  CO_TRY(CheckRange(range));
  while (!range.empty()) {
    const ByteRange part = FirstPart(range);
    CO_TRY(co_await inner_.WriteZeroes(part, hint, durability));
    range = Behind(range, part.length);
  }
  co_return {};
}

Async<void> PiecesDevice::Discard(ByteRange range, Durability durability) {
  CO_TRY(CheckRange(range));
  while (!range.empty()) {
    const ByteRange part = FirstPart(range);
    CO_TRY(co_await inner_.Discard(part, durability));
    range = Behind(range, part.length);
  }
  co_return {};
}

Async<std::vector<StatusExtent>> PiecesDevice::Status(ByteRange range, size_t extents_max) {
  CO_TRY(CheckRange(range));
  std::vector<StatusExtent> all;
  while (!range.empty() && all.size() < extents_max) {
    const ByteRange part = FirstPart(range);
    CO_ASSIGN(const std::vector<StatusExtent> extents,
              co_await inner_.Status(part, extents_max - all.size()));
    uint64_t covered = 0;
    for (const StatusExtent& extent : extents) {
      covered += extent.length;
      StatusExtent same = extent;
      if (!all.empty()) same.length = all.back().length;
      if (!all.empty() && all.back() == same) {
        all.back().length += extent.length;
      } else {
        all.push_back(extent);
      }
    }
    if (covered < part.length) break;
    range = Behind(range, part.length);
  }
  co_return all;
}

}  // namespace mica
