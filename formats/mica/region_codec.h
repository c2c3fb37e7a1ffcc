// SPDX-License-Identifier: Apache-2.0
// Encodings of the map: root blocks, regions and dense leaves. FORMAT.md section 4. Pure codec.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "engine/base/aligned_buffer.h"
#include "engine/base/result.h"
#include "formats/mica/leaf.h"

namespace mica::native {

uint64_t HashOf(ConstBytes bytes) noexcept;  // XXH3-64

// ---- root blocks: one slot, 256 region pointers ----

// The first slots of a region and the hash of the whole region; slot 0: nothing is mapped in it.
struct RegionPointer {
  Slot slot = 0;
  uint32_t slots = 0;  // consecutive ones from `slot`; the region itself names any further runs
  uint64_t hash = 0;
  friend bool operator==(const RegionPointer&, const RegionPointer&) = default;
};

using RootBlock = std::vector<RegionPointer>;  // kRegionsPerRoot of them

void EncodeRootBlock(std::span<const RegionPointer> root, Bytes block) noexcept;
Result<RootBlock> DecodeRootBlock(ConstBytes block);

// ---- dense leaves: two slots, which need not be neighbours ----

inline constexpr uint32_t kDenseLeafSlots = 2;
inline constexpr size_t kDenseLeafBytes = kDenseLeafSlots * kSlotBytes;

struct DensePointer {
  Slot first = 0;  // 0: none
  Slot second = 0;
  uint32_t birth = 0;  // the epoch in which it was written
  uint64_t hash = 0;   // over both slots
  friend bool operator==(const DensePointer&, const DensePointer&) = default;
};

void EncodeDenseLeaf(const Leaf& leaf, Bytes bytes) noexcept;
Result<std::shared_ptr<Leaf>> DecodeDenseLeaf(ConstBytes bytes);

// ---- regions: 1 GiB; sparse and uniform leaves inside, dense ones by pointer ----

struct RegionHeader {
  uint64_t tag = 0;    // Superblock::Tag of the image
  uint32_t index = 0;  // number of the region
  uint32_t birth = 0;  // the epoch in which it was written
};

// A leaf of a region: `leaf` for sparse and uniform ones, otherwise `dense`.
struct RegionItem {
  uint32_t leaf_index = 0;
  std::shared_ptr<const Leaf> leaf;
  DensePointer dense;
};

// Bytes one item takes; uniform neighbours share one, so this is an upper bound.
size_t EncodedItemBytes(const Leaf& leaf) noexcept;
inline constexpr size_t kDenseItemBytes = 24;
inline constexpr size_t kItemBytesMax = 8 + kSparseMax * 18;
inline constexpr size_t kRegionHeaderBytes = 64;
inline constexpr size_t kRunBytes = 8;
// 512 leaves of 128 sparse entries, and the run list.
inline constexpr uint32_t kRegionSlotsMax = 320;

// Slots that a region with `item_bytes` bytes of items takes when it lies in as many pieces as it
// has slots.
constexpr uint32_t RegionSlots(size_t item_bytes) noexcept {
  const size_t slots = (kRegionHeaderBytes + item_bytes) / (kSlotBytes - kRunBytes) + 1;
  return static_cast<uint32_t>(slots);
}

// `runs` hold at least the slots needed; the region is padded to fill them.
AlignedBuffer EncodeRegion(const RegionHeader& header, std::span<const RegionItem> items,
                           std::span<const SlotRun> runs);

// The runs that follow the first one, from the first run of a region. The hash is not known yet:
// any input.
Result<std::vector<SlotRun>> DecodeRegionRuns(ConstBytes first_run, uint32_t first_slots);

struct RegionContent {
  uint32_t birth = 0;
  std::vector<RegionItem> items;
};
// The whole region, whose hash has been verified; still any input.
Result<RegionContent> DecodeRegion(ConstBytes bytes, uint64_t tag, uint32_t region_index);

}  // namespace mica::native
