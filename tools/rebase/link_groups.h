// SPDX-License-Identifier: Apache-2.0
// Groups of alternatives whose database file both sides changed: all links of a group follow the
// side whose choice wins in the joined group, so that a program and its manual page stay together.
#pragma once

#include "engine/base/result.h"
#include "tools/rebase/dpkg/units.h"
#include "tools/rebase/forced_sides.h"
#include "tools/rebase/merge_graph.h"

namespace mica::rebase {

// After Graph::Finish.
Result<ForcedSides> FindLinkGroups(Graph& graph);

// The same without a graph, by comparing the groups of the three trees.
Result<ForcedSides> FindLinkGroups(const PackageTrees& trees);

}  // namespace mica::rebase
