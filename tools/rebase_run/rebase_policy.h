// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "tools/rebase/fit/fit_rules.h"
#include "tools/rebase/policy.h"

namespace mica {

// The text of a policy file.
Result<std::string> ReadPolicyText(const std::string& file);

// The built-in policy with the files of --policy on top, in the order given. Errors name file and
// line.
Result<rebase::Policy> LoadPolicy(const std::vector<std::string>& files);

// 32 hexadecimal digits over the texts of all these and of the built-in policy.
Result<std::string> PolicyDigest(const std::vector<std::string>& files);

// The built-in fit rules and those of --rules.
Result<std::vector<rebase::FitRule>> LoadFitRules(const std::vector<std::string>& files);

}  // namespace mica
