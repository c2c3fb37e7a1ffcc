// SPDX-License-Identifier: Apache-2.0
// Fields that are arrays or text, in blocks of fixed layout.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

#include "engine/base/bytes.h"

namespace mica::native {

template <size_t N>
void StoreArray(Bytes block, size_t offset, const std::array<uint8_t, N>& value) noexcept {
  std::ranges::copy(std::as_bytes(std::span(value)),
                    block.begin() + static_cast<ptrdiff_t>(offset));
}

template <size_t N>
std::array<uint8_t, N> LoadArray(ConstBytes block, size_t offset) noexcept {
  std::array<uint8_t, N> value{};
  std::ranges::copy(block.subspan(offset, N), std::as_writable_bytes(std::span(value)).begin());
  return value;
}

inline void StoreText(Bytes block, size_t offset, std::string_view text) noexcept {
  std::ranges::copy(AsBytes(text), block.begin() + static_cast<ptrdiff_t>(offset));
}

}  // namespace mica::native
