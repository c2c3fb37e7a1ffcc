// SPDX-License-Identifier: Apache-2.0
// The text of the policy files that are built into the program (put there by CMake).
#pragma once

#include <string_view>

namespace mica::rebase {

extern const std::string_view kLinuxPolicyText;
extern const std::string_view kLinuxFitRulesText;

}  // namespace mica::rebase
