// SPDX-License-Identifier: Apache-2.0
// Carries out a plan on a tree in memory, for tests of the planner.
#pragma once

#include "engine/base/result.h"
#include "tools/guest/plan.h"
#include "tools/rebase/testing/fake_tree.h"

namespace mica::rebase {

// The new master with the plan carried out. An error when the plan is not consistent: a name given
// twice, a directory that is not there, an object that ends up without a name or a removed
// directory that is not empty.
Result<FakeTree> ApplyPlan(const guest::Plan& plan, const FakeTree& ours, const FakeTree& theirs);

}  // namespace mica::rebase
