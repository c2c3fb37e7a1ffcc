// SPDX-License-Identifier: Apache-2.0
// Watermarks: which of 80, 90 and 95 % of a limit has just been reached.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

namespace mica {

class Watermarks {
 public:
  // The mark that has been passed upwards since the last call, the highest one if there are more.
  // A mark counts anew once usage has fallen 2 % of the limit below it. Without a limit (0) there
  // are none.
  std::optional<uint32_t> Update(uint64_t used, uint64_t limit) noexcept {
    uint32_t reached = 0;
    for (const uint32_t mark : kMarks) {
      const uint32_t from = mark <= level_ ? mark - kHysteresis : mark;
      if (limit != 0 && used >= limit / 100 * from) reached = mark;
    }
    const bool higher = reached > level_;
    level_ = reached;
    if (!higher) return std::nullopt;
    return reached;
  }

 private:
  static constexpr std::array<uint32_t, 3> kMarks{80, 90, 95};
  static constexpr uint32_t kHysteresis = 2;
  uint32_t level_ = 0;  // the highest mark that is passed now
};

}  // namespace mica
