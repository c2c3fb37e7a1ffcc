// SPDX-License-Identifier: Apache-2.0
// All mergers, by the names that policies use.
#pragma once

#include <string_view>
#include <vector>

#include "tools/rebase/mergers/merger.h"

namespace mica::rebase {

// Null when there is none of that name.
const Merger* FindMerger(std::string_view name);
std::vector<std::string_view> MergerNames();

}  // namespace mica::rebase
