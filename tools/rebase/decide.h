// SPDX-License-Identifier: Apache-2.0
// The merge table: what becomes of one object, seen by itself. What follows from the others
// (directories that must stay, names taken twice) is settle.h's.
#pragma once

#include <string>
#include <vector>

#include "engine/base/result.h"
#include "tools/rebase/dpkg/units.h"
#include "tools/rebase/id_map.h"
#include "tools/rebase/merge_graph.h"
#include "tools/rebase/mergers/merger.h"

namespace mica::rebase {

// What decisions need and what they write. Borrowed.
struct MergeScene {
  Graph& graph;
  const PackageUnits& packages;
  const ForcedSides& link_groups;  // of alternatives
  const IdMap& ids;
  PlanOutcome& out;
};

// Fills the node's result, and its report entry where ours changed anything or something did not
// fit.
Result<void> DecideNode(MergeScene& scene, NodeIndex index);

// The node as it is on one side.
void TakeSide(Node& node, Side side);

// The bytes of a regular file as the node's result has them; nothing when it is not there.
Result<std::optional<std::string>> ResultBytes(const MergeScene& scene, const Node& node);

// An entry for the node, with what both sides did; not yet in the report.
ReportEntry EntryFor(const Node& node, Action action);

// The node's entry in the report; made with this action where it has none.
ReportEntry& EntryOf(MergeScene& scene, Node& node, Action action);

}  // namespace mica::rebase
