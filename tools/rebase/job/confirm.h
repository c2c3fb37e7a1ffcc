// SPDX-License-Identifier: Apache-2.0
// The end of a rebase: the VM has proven itself, and what was kept to undo it goes.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/io/host.h"

namespace mica::rebase {

struct ConfirmOptions {
  // Only what was replaced longer ago than that; empty: all.
  std::optional<std::chrono::days> older_than;
  bool dry_run = false;
};

// A kept delta, gone or (dry run) to go.
struct DroppedDelta {
  std::filesystem::path file;
  uint64_t bytes = 0;            // that it took on the host
  std::filesystem::path parent;  // what it stood on
};
// One that stays.
struct LeftDelta {
  std::filesystem::path file;
  std::string why;
  bool refused = false;  // it was to go, and could not: in use, or no kept delta of this VM
};

struct ConfirmOutcome {
  std::vector<DroppedDelta> dropped;
  std::vector<LeftDelta> left;
};

// Removes kept deltas of `vm` (KeptDeltas, in that order), each durably before the next one. First
// it makes sure that the current delta and all its parents open; the VM may be running. Nothing is
// removed that the current chain consists of, that somebody has open, or that is no unsealed delta.
// kBusy while a rebase or rollback of the VM runs; errors of the current chain.
Result<ConfirmOutcome> ConfirmRebase(Host& host, const std::filesystem::path& vm,
                                     const ConfirmOptions& options);

}  // namespace mica::rebase
