// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "tools/rebase/policy.h"

namespace mica {

// The built-in policy with the files of --policy on top, in the order given. Errors name file and
// line.
Result<rebase::Policy> LoadPolicy(const std::vector<std::string>& files);

}  // namespace mica
