// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "engine/block_device.h"
#include "engine/jobs/piece_queue.h"

namespace mica {

struct CopyTotals {
  uint64_t examined_bytes = 0;  // reaches the source's size at the end
  uint64_t written_bytes = 0;   // data written to the target
  uint64_t zeroed_bytes = 0;    // made zero in the target, where it was not
};

struct CopyOptions {
  // What the target reads before the copy; null: zeroes. Only what differs from it is written, in
  // blocks of kCopyBlockBytes. Borrowed.
  BlockDevice* baseline = nullptr;
  size_t pieces_in_flight = 8;
  std::function<void(const CopyTotals&)> on_progress;  // may be empty; called often, must be quick
};

inline constexpr uint64_t kCopyBlockBytes = 4096;

// Makes the target's first source.info().size bytes equal to the source; the target is at least
// that large and nobody else changes either. Does not flush. After an error the target holds
// anything.
Async<CopyTotals> Copy(EventLoop& loop, BlockDevice& source, BlockDevice& target,
                       CopyOptions options);

}  // namespace mica
