// SPDX-License-Identifier: Apache-2.0
// Three-way merge of an object's content: the bytes of a file, the target of a link, the number of
// a device.
#pragma once

#include "engine/base/result.h"
#include "tools/rebase/merge_item.h"

namespace mica::rebase {

// Of an object that both sides have. Where both changed it, the rule for the path decides, and the
// entry says how. With kMerged the bytes are in the node's result.
Result<ContentSource> MergeContent(MergeScene& scene, MergeItem& item);

}  // namespace mica::rebase
