// SPDX-License-Identifier: Apache-2.0
// Numbers of the mica format, version 1 (FORMAT.md). A slot is 4096 bytes of the file; slot n is at
// file offset 4096 * n. A block is 4096 bytes of the guest's disk.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/extent.h"
#include "engine/layer.h"

namespace mica::native {

using Slot = uint32_t;

inline constexpr uint32_t kSlotBytes = 4096;

// Values of a map entry that are not places in the file.
inline constexpr Slot kSlotAbsent = 0;
inline constexpr Slot kSlotZero = UINT32_MAX;
inline constexpr Slot kSlotSameAsParent = UINT32_MAX - 1;
// Slots 0 and 1 hold the superblocks.
inline constexpr Slot kSlotFirst = 2;
inline constexpr Slot kSlotEnd = UINT32_MAX - 1;

constexpr bool IsPlace(Slot slot) noexcept {
  return slot >= kSlotFirst && slot < kSlotEnd;
}
constexpr uint64_t SlotOffset(Slot slot) noexcept {
  return uint64_t{slot} * kSlotBytes;
}

// The map: superblock -> root blocks (256 GiB each) -> regions (1 GiB) -> leaves (2 MiB).
inline constexpr uint32_t kBlocksPerLeaf = 512;
inline constexpr uint32_t kLeavesPerRegion = 512;
inline constexpr uint32_t kRegionsPerRoot = 256;
inline constexpr uint32_t kRootsMax = 128;
inline constexpr uint64_t kBlocksPerRegion = uint64_t{kBlocksPerLeaf} * kLeavesPerRegion;
inline constexpr uint64_t kBlocksPerRoot = kBlocksPerRegion * kRegionsPerRoot;
inline constexpr uint64_t kVirtualSizeMax = kBlocksPerRoot * kRootsMax * kSlotBytes;  // 32 TiB

inline constexpr uint32_t kLogSlotsMin = 8;
inline constexpr uint32_t kLogSlotsDefault = 256;      // 1 MiB
inline constexpr uint32_t kLogSlotsMaxDefault = 4096;  // 16 MiB
inline constexpr uint32_t kLogSlotsLimit = 65536;      // 256 MiB: what this build opens

struct SlotRun {
  Slot first = 0;
  uint32_t count = 0;

  [[nodiscard]] constexpr uint64_t end() const noexcept { return uint64_t{first} + count; }
  friend bool operator==(const SlotRun&, const SlotRun&) = default;
};

constexpr bool IsPlace(SlotRun run) noexcept {
  return run.first >= kSlotFirst && run.count > 0 && run.end() <= kSlotEnd;
}

inline uint64_t CountSlots(const std::vector<SlotRun>& runs) noexcept {
  uint64_t count = 0;
  for (const SlotRun& run : runs) count += run.count;
  return count;
}

// Takes the first `count` slots out of `runs`, which hold at least as many.
inline std::vector<SlotRun> TakeRuns(std::vector<SlotRun>& runs, uint64_t count) {
  std::vector<SlotRun> taken;
  size_t whole = 0;
  for (; whole < runs.size() && runs[whole].count <= count; ++whole) {
    count -= runs[whole].count;
    taken.push_back(runs[whole]);
  }
  runs.erase(runs.begin(), runs.begin() + static_cast<ptrdiff_t>(whole));
  if (count == 0) return taken;
  const auto part = static_cast<uint32_t>(count);
  taken.push_back(SlotRun{runs.front().first, part});
  runs.front().first += part;
  runs.front().count -= part;
  return taken;
}

// Adds a run at the end, growing the last one when they touch.
inline void AppendRun(std::vector<SlotRun>& runs, SlotRun run) {
  if (!runs.empty() && runs.back().end() == run.first) {
    runs.back().count += run.count;
  } else {
    runs.push_back(run);
  }
}

}  // namespace mica::native
