// SPDX-License-Identifier: Apache-2.0
// What the jobs that change a chain share: commit, flatten, reparent, and dropping what a parent
// has as well. Each works offline: nobody else reads or writes the chain meanwhile.
#pragma once

#include <functional>
#include <vector>

#include "engine/image_chain.h"
#include "engine/parent_control.h"

namespace mica {

struct ChainJobTotals {
  uint64_t examined_bytes = 0;  // of the guest's disk; reaches its size at the end
  uint64_t copied_bytes = 0;    // data moved from one image to another
  uint64_t zeroed_bytes = 0;    // recorded as zero instead
  uint64_t dropped_bytes = 0;   // no longer held, because the parent has the same
};

enum class JobMode : uint8_t {
  kDo,
  kMeasure,  // read everything, count, change nothing
};

struct ChainJobOptions {
  JobMode mode = JobMode::kDo;
  size_t pieces_in_flight = 8;
  std::function<void(const ChainJobTotals&)> on_progress;  // may be empty; must be quick

  void Report(const ChainJobTotals& totals) const {
    if (on_progress) on_progress(totals);
  }
};

// How much of the disk is looked at at a time: bounds the memory on huge disks.
inline constexpr uint64_t kJobWindowBytes = uint64_t{64} << 20;

// What ties the head of `chain` to its parent; kUnsupported for a format that has no parents.
Result<ParentControl*> ParentControlOf(ImageChain& chain);

// The parts of `window` that the head holds something for, and the others; sorted, merged.
struct HeldRanges {
  std::vector<ByteRange> held;
  std::vector<ByteRange> shown;  // what a parent shows through, or nothing does
};
Async<HeldRanges> RangesOfHead(ImageChain& chain, ByteRange window);

// The whole blocks of `ranges` (the last one may be cut at the end of the disk) that `a` and `b`
// have in common. Equal digests nominate, bytes decide. `ranges` lie in one window, inside `a`;
// past the end of `b` are zeroes.
Async<std::vector<ByteRange>> EqualBlocks(ImageChain& a, ImageChain& b,
                                          std::vector<ByteRange> ranges);

// The parts of `ranges` that `without` leaves; both sorted and disjoint.
std::vector<ByteRange> Subtract(const std::vector<ByteRange>& ranges,
                                const std::vector<ByteRange>& without);

uint64_t TotalLength(const std::vector<ByteRange>& ranges) noexcept;

}  // namespace mica
