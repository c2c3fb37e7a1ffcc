// SPDX-License-Identifier: Apache-2.0
// What `check` knows about the use of slots, and its walk of the snapshots' maps. A slot that two
// maps name for the same block, with the same digest, is shared; anything else used twice is
// corrupt.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "formats/format.h"
#include "formats/mica/image.h"

namespace mica::native {

class SlotUses {
 public:
  enum class Outcome : uint8_t { kFirst, kShared, kTwice };

  // With `shared`, who uses a slot is remembered: 4 bytes for each.
  explicit SlotUses(bool shared) : shared_(shared) {}

  // `user` is a number that is the same for users that may share the slot.
  Outcome Use(Slot slot, uint64_t user);

  static uint64_t OfBlock(uint64_t block, BlockDigest digest) noexcept;
  static uint64_t OfRegion(uint64_t region_index) noexcept;  // and its leaves
  static uint64_t OfRoot(uint64_t root_index) noexcept;

 private:
  const bool shared_;
  SlotBitmap used_;
  std::vector<uint32_t> users_;  // hashed
};

struct SnapshotCheck {
  Image& image;
  CheckScope scope;
  CheckReport& report;
  SlotUses& uses;
  uint64_t file_slots;
};

// Checks all snapshots, after the image's own map has been put into `uses`.
Async<void> CheckSnapshots(SnapshotCheck check);

}  // namespace mica::native
