// SPDX-License-Identifier: Apache-2.0
// Byte ranges, so that an offset and a length are never two loose integers that can be swapped.
#pragma once

#include <algorithm>
#include <cstdint>

namespace mica {

// A half-open range of bytes [offset, end). Whoever makes one has checked that end() does not wrap.
struct ByteRange {
  uint64_t offset = 0;
  uint64_t length = 0;

  [[nodiscard]] constexpr uint64_t end() const noexcept { return offset + length; }
  [[nodiscard]] constexpr bool empty() const noexcept { return length == 0; }
  [[nodiscard]] constexpr bool Contains(uint64_t at) const noexcept {
    return at >= offset && at - offset < length;
  }
  [[nodiscard]] constexpr bool Overlaps(const ByteRange& other) const noexcept {
    return offset < other.end() && other.offset < end();
  }
  friend constexpr bool operator==(const ByteRange&, const ByteRange&) = default;
};

constexpr ByteRange RangeBetween(uint64_t begin, uint64_t end) noexcept {
  return {begin, end > begin ? end - begin : 0};
}

// The part two ranges share; empty (length 0) when they share none.
constexpr ByteRange Intersect(const ByteRange& a, const ByteRange& b) noexcept {
  return RangeBetween(std::max(a.offset, b.offset), std::min(a.end(), b.end()));
}

// `alignment` is a power of two. AlignUp must not be given a value within `alignment` of 2^64.
constexpr uint64_t AlignDown(uint64_t value, uint64_t alignment) noexcept {
  return value & ~(alignment - 1);
}
constexpr uint64_t AlignUp(uint64_t value, uint64_t alignment) noexcept {
  return AlignDown(value + alignment - 1, alignment);
}
constexpr bool IsAligned(uint64_t value, uint64_t alignment) noexcept {
  return (value & (alignment - 1)) == 0;
}
// The smallest aligned range that covers `range`.
constexpr ByteRange AlignOutward(const ByteRange& range, uint64_t alignment) noexcept {
  return RangeBetween(AlignDown(range.offset, alignment), AlignUp(range.end(), alignment));
}
constexpr uint64_t DivideRoundUp(uint64_t value, uint64_t divisor) noexcept {
  return value / divisor + (value % divisor != 0 ? 1 : 0);
}

}  // namespace mica
