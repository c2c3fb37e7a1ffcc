// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace mica::nbd {

// What the connections of one export together may start in one turn of their loop, so that an
// export with many busy connections leaves the loop's other exports the same share. Loop thread
// only.
class TurnShare {
 public:
  // About 200 requests of 4 KiB, or 16 of 256 KiB.
  static constexpr uint64_t kBytesPerTurn = 4u << 20;
  // What a request costs besides its bytes.
  static constexpr uint64_t kRequestBytes = 16u << 10;

  // False when this turn's share is used up: try again on the next. The last request of a turn may
  // go beyond it, however large.
  bool Take(uint64_t turn, uint64_t bytes) noexcept {
    if (turn != turn_) {
      turn_ = turn;
      used_bytes_ = 0;
    }
    if (used_bytes_ >= kBytesPerTurn) return false;
    used_bytes_ += kRequestBytes + bytes;
    return true;
  }

 private:
  uint64_t turn_ = 0;
  uint64_t used_bytes_ = 0;
};

}  // namespace mica::nbd
