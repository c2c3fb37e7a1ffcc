// SPDX-License-Identifier: Apache-2.0
// Mergers for the account databases (passwd(5), group(5), shadow(5), gshadow(5), subuid(5)): by
// name, field by field, member lists as sets. Ids of ours are renumbered first.
#pragma once

#include "tools/rebase/mergers/merger.h"

namespace mica::rebase {

MergeOutput MergePasswd(const MergeInput& input);
MergeOutput MergeGroup(const MergeInput& input);
MergeOutput MergeShadow(const MergeInput& input);
MergeOutput MergeGshadow(const MergeInput& input);
// subuid and subgid; ranges of the two sides that overlap are a conflict.
MergeOutput MergeSubordinateIds(const MergeInput& input);

}  // namespace mica::rebase
