// SPDX-License-Identifier: Apache-2.0
// Checks a rebase against its report, at any later time: plans it anew from the old delta that was
// kept, and compares masters, policy, deltas, every path's action, and the files of the result.
#pragma once

#include <string>
#include <vector>

#include "tools/rebase_run/rebase_front.h"

namespace mica {

struct VerifyRequest {
  std::string report;
  std::vector<std::string> policies;  // the same that the rebase had
  WorkerLimits limits;
};

// kDone when everything is as reported, kConflicts when the result has changed since (the VM has
// run), kError when something else differs or cannot be looked at.
Result<ExitStatus> RunVerify(Context& context, const VerifyRequest& request);

}  // namespace mica
