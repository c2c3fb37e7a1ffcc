// SPDX-License-Identifier: Apache-2.0
// Writes the results of all nodes as a plan for the applier.
#pragma once

#include "engine/base/result.h"
#include "tools/guest/plan.h"
#include "tools/rebase/merge_graph.h"

namespace mica::rebase {

// After SettleTree. Objects whose result is what the new master has are left out.
Result<guest::Plan> EmitPlan(Graph& graph);

}  // namespace mica::rebase
