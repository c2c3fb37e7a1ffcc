// SPDX-License-Identifier: Apache-2.0
// Carries a planned job out on a delta, and proves what came of it.
#pragma once

#include "tools/rebase/job/planned_job.h"
#include "tools/rebase/job/staged_job.h"

namespace mica::rebase {

// Writes all volumes onto options.delta, which has been built from `staged` unless that is empty,
// and compares the result with the plan; figures and proof go to `outcome`. Errors of BuildRebase.
Result<void> BuildDelta(Host& host, PlannedJob& job, const StagedJob& staged,
                        const BuildOptions& options, JobOutcome& outcome);

// What of the volumes that are taken over as they are is not so in `result`.
Result<void> VerifyCarried(PlannedJob& job, ImageChain& result, std::vector<std::string>& wrong);

}  // namespace mica::rebase
