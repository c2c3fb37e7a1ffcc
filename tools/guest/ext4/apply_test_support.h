// SPDX-License-Identifier: Apache-2.0
// For tests: the plan that carries out a change set on a target equal to its base, and all that
// has to hold afterwards.
#pragma once

#include <string>
#include <vector>

#include "tools/guest/apply.h"
#include "tools/guest/change_set.h"
#include "tools/guest/plan.h"
#include "tools/guest/verify.h"

namespace mica::guest::testing {

// A planner with nothing to merge: the target is the common base.
Plan PlanToRepeat(const ChangeSet& ours);

// The same from images: what makes a copy of the one the other. Fails the test when they cannot be
// compared.
Plan PlanBetween(const std::string& master, const std::string& vm);

// Applies `plan` to `result` (a copy of the image `target`), closes it, runs e2fsck -fn and
// verifies; every failure is a test failure.
ApplyResult ApplyAndVerify(const Plan& plan, const std::string& target, const std::string& result,
                           const std::string& ours);

}  // namespace mica::guest::testing
