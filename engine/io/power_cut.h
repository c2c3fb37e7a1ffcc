// SPDX-License-Identifier: Apache-2.0
// What a power cut leaves of the changes that no sync has covered. A change is named by its
// position in a file's list of unsynced changes (0 is the oldest). The unit that is never torn is
// the 512-byte sector, and one sector never goes back in time: whatever a cut leaves in it was its
// content at some moment since the last sync.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "engine/base/range.h"

namespace mica {

inline constexpr uint64_t kSectorBytes = 512;

enum class PowerCutKind : uint8_t {
  kKeepAll,  // everything arrived
  kLoseAll,  // nothing since the last sync arrived
  kInOrder,  // changes arrived in order up to some moment; the last one is torn
  kSectors,  // every sector was written back at a moment of its own: lost, torn and reordered
  kReorder,  // some whole changes arrived, later ones possibly without earlier ones
};

struct PowerCutPolicy {
  PowerCutKind kind = PowerCutKind::kLoseAll;
  uint64_t seed = 0;  // the same policy on the same history gives the same disk

  // A kind drawn from the seed, so that one number names a cut.
  static PowerCutPolicy FromSeed(uint64_t seed) noexcept;
};

// The fate of one file's changes under one policy.
class PowerCutFate {
 public:
  // `data_ranges[i]` is what change i wrote, empty when it is a change of metadata (size,
  // allocation, zeroes by deallocation). `salt` makes files differ under one seed.
  PowerCutFate(const PowerCutPolicy& policy, uint64_t salt,
               const std::vector<ByteRange>& data_ranges);

  // Changes of metadata before this position arrived.
  [[nodiscard]] uint64_t metadata_end() const noexcept { return metadata_end_; }
  // Data of this sector (number = offset / 512) arrived for changes before the returned position.
  [[nodiscard]] uint64_t SectorEnd(uint64_t sector) const noexcept;
  // True when every sector's data arrived, which spares asking for each.
  [[nodiscard]] bool all_data_arrived() const noexcept { return kind_ == PowerCutKind::kKeepAll; }

 private:
  void ChooseReordered(const std::vector<ByteRange>& data_ranges);
  [[nodiscard]] uint64_t SectorHash(uint64_t sector) const noexcept;

  PowerCutKind kind_;
  uint64_t seed_;
  uint64_t count_;
  uint64_t metadata_end_ = 0;
  uint64_t in_order_end_ = 0;                          // kInOrder: the change that is torn
  std::unordered_map<uint64_t, uint64_t> sector_end_;  // kReorder
};

}  // namespace mica
