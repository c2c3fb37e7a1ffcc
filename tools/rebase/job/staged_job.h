// SPDX-License-Identifier: Apache-2.0
// What a delta was built from ahead, planned as it was then: it tells what is still to be done to
// the delta.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tools/rebase/job/planned_job.h"

namespace mica::rebase {

struct StagedJob {
  std::unique_ptr<PlannedJob> job;  // null: nothing was built ahead
  std::vector<ByteRange> changed;   // of the VM's disk since
};

// Finds out what has changed since. kMismatch when the delta cannot be brought to what the VM is
// now.
Result<void> CompareWith(EventLoop& loop, PlannedJob& now, StagedJob& staged);

}  // namespace mica::rebase
