// SPDX-License-Identifier: Apache-2.0
// Mergers for files that are sets of lines: dpkg's statoverride and diversions, /etc/hosts, and any
// file in which a line is its own key.
#pragma once

#include "tools/rebase/mergers/merger.h"

namespace mica::rebase {

MergeOutput MergeLineSet(const MergeInput& input);       // a line is its own key
MergeOutput MergeHosts(const MergeInput& input);         // by address; names are a set
MergeOutput MergeStatOverride(const MergeInput& input);  // by path; "#100" owners are renumbered
MergeOutput MergeDiversions(const MergeInput& input);    // three lines each, by the first

}  // namespace mica::rebase
