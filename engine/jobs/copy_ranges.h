// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "engine/async/event_loop.h"
#include "engine/block_device.h"

namespace mica {

struct CopyRangesOptions {
  enum class Zeroes : uint8_t {
    kSkip,   // the target need not be told of blocks that are zero
    kWrite,  // WriteZeroes, one block or more at a time
  };
  Zeroes zeroes = Zeroes::kWrite;
  size_t pieces_in_flight = 8;
};

struct CopyRangesTotals {
  uint64_t written_bytes = 0;
  uint64_t zeroed_bytes = 0;  // or skipped
};

// Copies what `source` reads in `ranges` (sorted, disjoint, inside both) to the same place of
// `target`; with a null target it only counts. Zero blocks of 4 KiB are told from data. Does not
// flush. Source and target may be the same device.
Async<CopyRangesTotals> CopyRanges(EventLoop& loop, BlockDevice& source, BlockDevice* target,
                                   std::vector<ByteRange> ranges, CopyRangesOptions options);

}  // namespace mica
