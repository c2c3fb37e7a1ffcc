// SPDX-License-Identifier: Apache-2.0
// The planner's check of itself: nothing of the owner's is lost silently. It looks only at the
// inputs and the outputs, so that a fault in between shows.
#pragma once

#include "engine/base/result.h"
#include "tools/rebase/planner.h"

namespace mica::rebase {

// kCorrupt names the first path that ours added, changed or removed and that no report entry
// accounts for, or an entry that says "carried" of an object whose content or existence the plan
// does not have.
Result<void> CheckCoverage(const PlanInput& input, const PlanOutcome& outcome);

}  // namespace mica::rebase
