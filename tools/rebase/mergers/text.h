// SPDX-License-Identifier: Apache-2.0
// Three-way merge of text by lines (diff3). All or nothing: where both sides changed the same or
// touching lines, differently, the whole file is a conflict.
#pragma once

#include <string_view>

#include "tools/rebase/mergers/merger.h"

namespace mica::rebase {

// A zero byte near the beginning, as other tools have it.
bool LooksBinary(std::string_view content);

MergeOutput MergeText(const MergeInput& input);

}  // namespace mica::rebase
