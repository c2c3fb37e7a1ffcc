// SPDX-License-Identifier: Apache-2.0
// Byte spans and explicit little- and big-endian loads and stores. On-disk and on-wire structures
// are read field by field with these; nothing is cast to a packed struct.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace mica {

using Bytes = std::span<std::byte>;
using ConstBytes = std::span<const std::byte>;

// The span must hold sizeof(T) bytes at offset; the caller has checked.
template <std::unsigned_integral T>
T LoadNative(ConstBytes from, size_t offset) noexcept {
  T value;
  std::memcpy(&value, from.data() + offset, sizeof value);
  return value;
}

template <std::unsigned_integral T>
void StoreNative(Bytes to, size_t offset, T value) noexcept {
  std::memcpy(to.data() + offset, &value, sizeof value);
}

template <std::unsigned_integral T>
constexpr T SwapIf(bool swap, T value) noexcept {
  if (!swap) return value;
  T swapped = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    swapped = static_cast<T>(swapped << 8 | (value & 0xff));
    value = static_cast<T>(value >> 8);
  }
  return swapped;
}

inline constexpr bool kHostIsLittle = std::endian::native == std::endian::little;

template <std::unsigned_integral T>
T LoadLe(ConstBytes from, size_t offset) noexcept {
  return SwapIf(!kHostIsLittle, LoadNative<T>(from, offset));
}
template <std::unsigned_integral T>
T LoadBe(ConstBytes from, size_t offset) noexcept {
  return SwapIf(kHostIsLittle, LoadNative<T>(from, offset));
}
template <std::unsigned_integral T>
void StoreLe(Bytes to, size_t offset, T value) noexcept {
  StoreNative(to, offset, SwapIf(!kHostIsLittle, value));
}
template <std::unsigned_integral T>
void StoreBe(Bytes to, size_t offset, T value) noexcept {
  StoreNative(to, offset, SwapIf(kHostIsLittle, value));
}

inline ConstBytes AsBytes(std::string_view text) noexcept {
  return std::as_bytes(std::span(text.data(), text.size()));
}
inline std::string_view AsText(ConstBytes bytes) noexcept {
  // The one place where bytes become characters.
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline void FillZero(Bytes bytes) noexcept {
  if (!bytes.empty()) std::memset(bytes.data(), 0, bytes.size());  // an empty span may be null
}

// True when every byte is zero; true for an empty span.
bool IsZero(ConstBytes bytes) noexcept;

}  // namespace mica
