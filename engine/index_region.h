// SPDX-License-Identifier: Apache-2.0
// IndexRegion: who answers for each 4 KiB block of one GiB below a head. A sorted array of entries
// of 32 bits, one where the answer changes: the block in its region in the upper 18 bits, the
// answer in the lower 14. Plain synchronous code.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/base/range.h"
#include "engine/base/result.h"

namespace mica {

inline constexpr uint32_t kIndexBlockBytes = 4096;
inline constexpr uint32_t kIndexRegionBlocks = 1U << 18;
inline constexpr uint64_t kIndexRegionBytes = uint64_t{kIndexRegionBlocks} * kIndexBlockBytes;

// Who answers for some guest bytes.
struct Owner {
  enum class Kind : uint8_t {
    kNobody,  // no layer says anything: zeroes
    kZero,    // `layer` says that they read zero
    kLayer,   // ask `layer`
    kMixed,   // not one answer for the whole block: ask the layers one by one
  };
  Kind kind = Kind::kNobody;
  uint32_t layer = 0;  // position in the stack, 0 is its top; kZero and kLayer
  friend bool operator==(const Owner&, const Owner&) = default;
};

struct OwnerRun {
  ByteRange guest;
  Owner owner;
  friend bool operator==(const OwnerRun&, const OwnerRun&) = default;
};

class IndexRegion {
 public:
  // All blocks kNobody.
  IndexRegion() : entries_{0} {}

  // Any input. kCorrupt unless the entries ascend from block 0 and name layers below `layers`.
  static Result<IndexRegion> FromEntries(std::vector<uint32_t> entries, uint32_t layers);

  // Blocks [first, end) get this owner. Called in ascending order, without overlap; what is left
  // out is kNobody.
  void Append(uint32_t first, uint32_t end, Owner owner);

  struct Found {
    Owner owner;
    uint32_t end_block;  // the answer is the same up to here
  };
  [[nodiscard]] Found Find(uint32_t block) const noexcept;

  [[nodiscard]] std::span<const uint32_t> entries() const noexcept { return entries_; }
  [[nodiscard]] size_t MemoryBytes() const noexcept {
    return sizeof *this + entries_.capacity() * sizeof(uint32_t);
  }
  void ShrinkToFit() { entries_.shrink_to_fit(); }

 private:
  void Put(uint32_t block, uint32_t code);

  std::vector<uint32_t> entries_;  // never empty; the first one is of block 0
};

}  // namespace mica
