// SPDX-License-Identifier: Apache-2.0
// Leaf: the map entries of 512 consecutive blocks (2 MiB of the disk), in memory. It keeps itself
// in the smallest of three shapes, which are also the three encodings on disk (region_codec.h).
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "formats/mica/layout.h"

namespace mica::native {

struct LeafEntry {
  Slot slot = kSlotAbsent;
  uint32_t epoch = 0;      // in which the entry was last changed
  BlockDigest digest = 0;  // of the block, when slot is a place
  friend bool operator==(const LeafEntry&, const LeafEntry&) = default;
};

enum class LeafShape : uint8_t {
  kSparse,   // up to kSparseMax entries
  kDense,    // 512 entries
  kUniform,  // 512 equal entries that are no places
};

// Above this a dense leaf (8 KiB) is at most 1.6 % of the data it maps.
inline constexpr uint32_t kSparseMax = 128;

class Leaf {
 public:
  Leaf() = default;
  Leaf(const Leaf& other);
  Leaf& operator=(const Leaf&) = delete;

  // `index` is below kBlocksPerLeaf.
  [[nodiscard]] LeafEntry Get(uint32_t index) const noexcept;
  void Set(uint32_t index, const LeafEntry& entry);
  // Entries [begin, end). `entry.slot` is no place.
  void SetRange(uint32_t begin, uint32_t end, const LeafEntry& entry);
  // The same for entries that are not absent. (All 512 become equal all the same when the range is
  // the whole leaf and it is not empty: that takes less room.) `entry` is not absent.
  void SetPresent(uint32_t begin, uint32_t end, const LeafEntry& entry);

  [[nodiscard]] LeafShape shape() const noexcept { return shape_; }
  // Entries that are not absent.
  [[nodiscard]] uint32_t present() const noexcept { return present_; }
  [[nodiscard]] size_t MemoryBytes() const noexcept;

  // Calls `visit(index, entry)` for every entry that is not absent, in order.
  template <class Visit>
  void ForEach(Visit&& visit) const {
    if (shape_ == LeafShape::kSparse) {
      for (const SparseEntry& item : sparse_) visit(item.index, item.entry);
      return;
    }
    for (uint32_t i = 0; i < kBlocksPerLeaf; ++i) {
      const LeafEntry entry = Get(i);
      if (entry.slot != kSlotAbsent) visit(i, entry);
    }
  }

 private:
  using Dense = std::array<LeafEntry, kBlocksPerLeaf>;
  struct SparseEntry {
    uint32_t index;
    LeafEntry entry;
  };

  void SetAll(const LeafEntry& entry);
  void SetSparse(uint32_t index, const LeafEntry& entry);
  void BecomeDense();
  void BecomeSparse();

  LeafShape shape_ = LeafShape::kSparse;
  uint32_t present_ = 0;
  std::vector<SparseEntry> sparse_;  // kSparse, ascending
  std::unique_ptr<Dense> dense_;     // kDense
  LeafEntry uniform_;                // kUniform
};

}  // namespace mica::native
