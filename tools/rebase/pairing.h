// SPDX-License-Identifier: Apache-2.0
// Identity by name, after identity by object: programs save a file by writing a new one and
// renaming it over the old, and package managers always do. So an object that one side created
// under a name that had an object of the same kind in the common version is a modification of that
// object; and what both sides created under one name is one object. An old object that lives on
// under another name (a backup copy) then counts as created; one that keeps other names of its own
// (a hard link that was broken) is split, name from name.
#pragma once

#include "engine/base/result.h"
#include "tools/rebase/merge_graph.h"

namespace mica::rebase {

// Between Graph::Load and Graph::Finish.
Result<void> PairByName(Graph& graph);

}  // namespace mica::rebase
