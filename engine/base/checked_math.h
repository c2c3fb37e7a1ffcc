// SPDX-License-Identifier: Apache-2.0
// Arithmetic on integers that came from a file or from the wire: nothing wraps unnoticed.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>

#include "engine/base/range.h"

namespace mica {

template <std::integral T>
[[nodiscard]] constexpr std::optional<T> CheckedAdd(T a, T b) noexcept {
  T sum;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

template <std::integral T>
[[nodiscard]] constexpr std::optional<T> CheckedMultiply(T a, T b) noexcept {
  T product;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

// True when [offset, offset+length) lies inside [0, size), without ever computing a sum that wraps.
[[nodiscard]] constexpr bool FitsInside(ByteRange range, uint64_t size) noexcept {
  return range.offset <= size && range.length <= size - range.offset;
}

}  // namespace mica
