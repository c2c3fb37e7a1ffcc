// SPDX-License-Identifier: Apache-2.0
// EpochHistory: what changed-block tracking must know beside the epochs in the map: which sizes the
// disk has had, and which epochs were undone by going back to a snapshot. FORMAT.md sections 2
// and 8. Bounded: when a list is full its oldest entries are merged so that answers say "changed"
// rather too often. Pure data and codec.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/result.h"

namespace mica::native {

// Through checkpoint `epoch` - 1 the disk had `bytes` bytes; from checkpoint `epoch` on another
// size.
struct FormerSize {
  uint32_t epoch = 0;
  uint64_t bytes = 0;
  friend bool operator==(const FormerSize&, const FormerSize&) = default;
};

// What was changed after checkpoint `after`, through `through`, was undone.
struct LostEpochs {
  uint32_t after = 0;
  uint32_t through = 0;
  friend bool operator==(const LostEpochs&, const LostEpochs&) = default;
};

class EpochHistory {
 public:
  static constexpr size_t kSizesMax = 16;
  static constexpr size_t kLostMax = 16;
  static constexpr size_t kEncodedBytes = kSizesMax * 16 + kLostMax * 8;

  // The disk gets another size with checkpoint `epoch`; until then it had `bytes_before` bytes.
  void AddResize(uint32_t epoch, uint64_t bytes_before);
  // The disk is again what it was at checkpoint `after`, when this was the history; `through` is
  // the newest epoch that any change since has been given.
  void AddRevert(uint32_t after, uint32_t through);

  // The smallest size since checkpoint `epoch`; `bytes_now` when it was never smaller. What lies
  // beyond it has changed even where the map says nothing.
  [[nodiscard]] uint64_t SmallestSizeSince(uint32_t epoch, uint64_t bytes_now) const noexcept;
  // What has changed since checkpoint `epoch` is not known.
  [[nodiscard]] bool IsLost(uint32_t epoch) const noexcept;

  [[nodiscard]] const std::vector<FormerSize>& sizes() const noexcept { return sizes_; }
  [[nodiscard]] const std::vector<LostEpochs>& lost() const noexcept { return lost_; }

  // kEncodedBytes bytes.
  void Encode(Bytes out) const noexcept;
  // Any input. kCorrupt when the lists are out of order or speak of epochs from `epoch_end` on.
  static Result<EpochHistory> Decode(ConstBytes in, uint32_t epoch_end);

  friend bool operator==(const EpochHistory&, const EpochHistory&) = default;

 private:
  std::vector<FormerSize> sizes_;  // ascending by epoch
  std::vector<LostEpochs> lost_;   // ascending, apart from each other
};

}  // namespace mica::native
