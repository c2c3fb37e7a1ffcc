// SPDX-License-Identifier: Apache-2.0
// Replay: brings the map of an image that was not closed cleanly up to its last flush and beyond.
// FORMAT.md section 6.
#pragma once

#include "formats/mica/image.h"

namespace mica::native {

struct ReplayOutcome {
  uint64_t pages_seen = 0;     // pages of this log, adopted or not
  uint64_t next_sequence = 1;  // above every page number seen
  uint64_t blocks_adopted = 0;
  uint64_t blocks_rejected = 0;  // unconfirmed, and their data never arrived
};

enum class ReplayMode : uint8_t {
  kLook,     // writes nothing
  kRecover,  // writes unconfirmed blocks that are adopted once more, to the same place: a sync that
             // failed in an earlier process may have left them readable but not on the disk
};

// What is wrong with a log that is replayed as far as it goes all the same.
struct LogDamage {
  std::optional<Error> error;
};

// Reads the log and changes image.map in memory. kCorrupt when pages that had been confirmed are
// damaged, unless there is a `salvage` to tell it to: then only what lies before them is replayed.
Async<ReplayOutcome> ReplayLog(Image& image, ReplayMode mode, LogDamage* salvage = nullptr);

}  // namespace mica::native
