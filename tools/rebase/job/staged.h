// SPDX-License-Identifier: Apache-2.0
// What of a VM's rebase was done ahead, while the VM ran:
//
//   vm.mica.staged-N          a rebased delta of an earlier state of the VM
//   vm.mica@mica-staged-N     that state: a snapshot in the VM's delta
//
// The two names are all there is to it. A rebase takes the delta, brings it to what the VM is by
// then, and proves it like any other; without it, it begins at the start.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "engine/io/host.h"
#include "tools/rebase/job/images.h"

namespace mica::rebase {

struct StagedDelta {
  std::filesystem::path delta;
  std::string snapshot;
};

// The newest one; empty when there is none.
Async<std::optional<StagedDelta>> LastStaged(Host& host, std::filesystem::path vm);
// Names for another one. kLimit.
Async<StagedDelta> NextStaged(Host& host, std::filesystem::path vm);

// kMismatch, saying why, unless it is a delta that a rebase of these images could begin with.
Result<void> CheckStaged(Host& host, const RebaseImages& images, const StagedDelta& staged);

// Removes all of a VM's staged deltas but `but`.
Result<void> RemoveStaged(Host& host, const std::filesystem::path& vm,
                          const std::optional<StagedDelta>& but);

// The staged delta that a snapshot in `file` belongs to by its name, whether it is there or not;
// empty for a snapshot of somebody else's.
std::optional<std::filesystem::path> StagedDeltaOf(const std::filesystem::path& file,
                                                   std::string_view snapshot);

}  // namespace mica::rebase
