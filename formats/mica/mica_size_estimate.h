// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>

#include "formats/size_estimate.h"

namespace mica::native {

// Superblocks, log, data and map (FORMAT.md sections 1 and 4). What checkpoints leave behind
// between the data is counted as the reserve that every image keeps.
class MicaSizeEstimate final : public SizeEstimate {
 public:
  explicit MicaSizeEstimate(uint64_t virtual_size) : virtual_size_(virtual_size) {}

  void AddData(ByteRange range) override { Add(range, &LeafCount::data); }
  void AddZero(ByteRange range) override { Add(range, &LeafCount::zero); }
  [[nodiscard]] uint64_t RequiredBytes() const override;
  [[nodiscard]] uint64_t FullBytes() const override;

 private:
  struct LeafCount {
    uint32_t data = 0;
    uint32_t zero = 0;
  };
  void Add(ByteRange range, uint32_t LeafCount::* kind);

  uint64_t virtual_size_;
  std::map<uint64_t, LeafCount> leaves_;  // of 2 MiB
};

}  // namespace mica::native
