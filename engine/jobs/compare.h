// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <expected>
#include <functional>
#include <optional>

#include "engine/block_device.h"
#include "engine/jobs/piece_queue.h"

namespace mica {

struct CompareReport {
  uint64_t examined_bytes = 0;               // by reading or by status
  std::optional<uint64_t> first_difference;  // lowest guest offset at which the devices differ
};

struct CompareFailure {
  enum class Step : uint8_t { kStatus, kRead };
  Step step;
  Error error;
};

using CompareOutcome = std::expected<CompareReport, CompareFailure>;

struct CompareOptions {
  size_t pieces_in_flight = 8;
  std::function<void(uint64_t examined_bytes)> on_progress;  // may be empty
};

// Byte by byte, up to the end of the longer device: the shorter one is taken to go on with zeroes.
// What is known to read zero on both is not read. Stops soon after a difference.
Task<CompareOutcome> Compare(EventLoop& loop, BlockDevice& a, BlockDevice& b,
                             CompareOptions options);

}  // namespace mica
