// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/base/bytes.h"

namespace mica::nbd {

// Takes an option's payload apart from front to back. Every member answers nothing when the payload
// is too short; lengths are compared before anything is subtracted.
class PayloadReader {
 public:
  explicit PayloadReader(ConstBytes payload) : rest_(payload) {}

  template <std::unsigned_integral T>
  std::optional<T> Number() {
    if (rest_.size() < sizeof(T)) return std::nullopt;
    const T value = LoadBe<T>(rest_, 0);
    rest_ = rest_.subspan(sizeof(T));
    return value;
  }

  // A string that follows its 32-bit length. Borrows from the payload.
  std::optional<std::string_view> Text() {
    const std::optional<uint32_t> length = Number<uint32_t>();
    if (!length || *length > rest_.size()) return std::nullopt;
    const std::string_view text = AsText(rest_.first(*length));
    rest_ = rest_.subspan(*length);
    return text;
  }

  [[nodiscard]] bool empty() const noexcept { return rest_.empty(); }

 private:
  ConstBytes rest_;
};

}  // namespace mica::nbd
