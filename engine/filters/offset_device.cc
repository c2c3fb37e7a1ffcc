// SPDX-License-Identifier: Apache-2.0
#include "engine/filters/offset_device.h"

#include <fmt/core.h>

#include "engine/base/checked_math.h"

namespace mica {

OffsetDevice::OffsetDevice(BlockDevice& inner, ByteRange window)
    : ForwardingDevice(inner), window_(window) {
  MICA_CHECK(FitsInside(window, inner.info().size));
  info_.size = window.length;
  // Alignment is counted from the start of the inner device.
  const uint32_t unit = info_.quick_zero_bytes;
  if (unit != 0 && window.offset % unit != 0) info_.quick_zero_bytes = 0;
}

Result<ByteRange> OffsetDevice::Translate(ByteRange range) const {
  if (!FitsInside(range, window_.length)) {
    return Error{Errc::kOutOfRange,
                 fmt::format("offset {} length {} is outside the partition of {} bytes",
                             range.offset, range.length, window_.length)};
  }
  return ByteRange{window_.offset + range.offset, range.length};
}

Async<void> OffsetDevice::Read(uint64_t offset, Bytes buffer) {
  const ByteRange asked{offset, buffer.size()};
  CO_ASSIGN(const ByteRange range, Translate(asked));
  co_return co_await inner_.Read(range.offset, buffer);
}

Async<void> OffsetDevice::Write(uint64_t offset, ConstBytes buffer, Durability durability) {
  const ByteRange asked{offset, buffer.size()};
  CO_ASSIGN(const ByteRange range, Translate(asked));
  co_return co_await inner_.Write(range.offset, buffer, durability);
}

Async<void> OffsetDevice::WriteZeroes(ByteRange range, ZeroHint hint, Durability durability) {
  CO_ASSIGN(const ByteRange inner_range, Translate(range));
  co_return co_await inner_.WriteZeroes(inner_range, hint, durability);
}

Async<void> OffsetDevice::Discard(ByteRange range, Durability durability) {
  CO_ASSIGN(const ByteRange inner_range, Translate(range));
  co_return co_await inner_.Discard(inner_range, durability);
}

Async<std::vector<StatusExtent>> OffsetDevice::Status(ByteRange range, size_t extents_max) {
  CO_ASSIGN(const ByteRange inner_range, Translate(range));
  co_return co_await inner_.Status(inner_range, extents_max);
}

}  // namespace mica
