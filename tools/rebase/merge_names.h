// SPDX-License-Identifier: Apache-2.0
// Three-way merge of an object's names, as a set.
#pragma once

#include "tools/rebase/merge_item.h"

namespace mica::rebase {

// Of an object that both sides have: fills the result's slots and whether it is there at all. A
// file that both renamed differently gets both names; a directory, which can have only one, gets
// ours.
void MergeNames(MergeItem& item);

}  // namespace mica::rebase
