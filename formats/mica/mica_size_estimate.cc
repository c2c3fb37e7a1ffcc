// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/mica_size_estimate.h"

#include <algorithm>
#include <bit>

#include "engine/base/checked_math.h"
#include "formats/mica/quota.h"
#include "formats/mica/region_codec.h"

namespace mica::native {

namespace {

constexpr uint64_t kLeafBytes = uint64_t{kBlocksPerLeaf} * kSlotBytes;
constexpr uint64_t kUniformItemBytes = 16;
constexpr uint64_t kItemHeaderBytes = 8;
constexpr uint64_t kSparseEntryBytes = (kItemBytesMax - kItemHeaderBytes) / kSparseMax;
constexpr uint64_t kLogPart = 32;  // the log grows to this part of the file at most

// The slots of a map whose leaves are added in ascending order.
class MapSize {
 public:
  void AddLeaf(uint64_t leaf, uint64_t item_bytes, uint64_t own_slots) {
    const uint64_t region = leaf / kLeavesPerRegion;
    if (region != region_) EndRegion();
    const uint64_t root = region / kRegionsPerRoot;
    if (slots_ == 0 || root != region_ / kRegionsPerRoot) ++slots_;
    region_ = region;
    item_bytes_ += item_bytes;
    slots_ += own_slots;
  }
  uint64_t End() {
    EndRegion();
    return slots_;
  }

 private:
  void EndRegion() {
    if (item_bytes_ > 0) slots_ += RegionSlots(item_bytes_);
    item_bytes_ = 0;
  }

  uint64_t region_ = 0;
  uint64_t item_bytes_ = 0;
  uint64_t slots_ = 0;
};

uint64_t FileBytes(uint64_t data_slots, uint64_t map_slots) {
  const uint64_t log = std::clamp<uint64_t>(std::bit_floor(data_slots / kLogPart + 1),
                                            kLogSlotsDefault, kLogSlotsMaxDefault);
  return (kSlotFirst + log + data_slots + map_slots + kReserveSlots) * kSlotBytes;
}

}  // namespace

void MicaSizeEstimate::Add(ByteRange range, uint32_t LeafCount::* kind) {
  for (uint64_t at = range.offset; at < range.end();) {
    const uint64_t next = std::min(range.end(), AlignDown(at, kLeafBytes) + kLeafBytes);
    leaves_[at / kLeafBytes].*kind +=
        static_cast<uint32_t>(DivideRoundUp(next, uint64_t{kSlotBytes}) - at / kSlotBytes);
    at = next;
  }
}

uint64_t MicaSizeEstimate::RequiredBytes() const {
  MapSize map;
  uint64_t data_slots = 0;
  for (const auto& [leaf, count] : leaves_) {
    const uint64_t entries = uint64_t{count.data} + count.zero;
    data_slots += count.data;
    if (count.zero == kBlocksPerLeaf) {
      map.AddLeaf(leaf, kUniformItemBytes, 0);
    } else if (entries > kSparseMax) {
      map.AddLeaf(leaf, kDenseItemBytes, kDenseLeafSlots);
    } else {
      map.AddLeaf(leaf, kItemHeaderBytes + entries * kSparseEntryBytes, 0);
    }
  }
  return FileBytes(data_slots, map.End());
}

uint64_t MicaSizeEstimate::FullBytes() const {
  MapSize map;
  for (uint64_t leaf = 0; leaf * kLeafBytes < virtual_size_; ++leaf) {
    map.AddLeaf(leaf, kDenseItemBytes, kDenseLeafSlots);
  }
  return FileBytes(DivideRoundUp(virtual_size_, uint64_t{kSlotBytes}), map.End());
}

}  // namespace mica::native
