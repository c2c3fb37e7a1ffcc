// SPDX-License-Identifier: Apache-2.0
// The text form of a policy: one rule a line, "PATTERN key=value …" or "!PATTERN"; "#" begins a
// comment line. A pattern that holds blanks is written with "\ " or in double quotes.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "engine/base/result.h"
#include "tools/rebase/policy.h"

namespace mica::rebase {

// kInvalidArgument names "FILE:LINE", what was expected and what was found. `name` is the layer's.
Result<PolicyLayer> ParsePolicy(std::string_view name, std::string_view text);

// The same for all lines: the rules that can be read, and what is wrong with the others.
struct PolicyProblem {
  int line = 0;
  Error error;  // without "FILE:LINE"
};
struct PolicyLines {
  PolicyLayer layer;
  std::vector<PolicyProblem> problems;
};
PolicyLines ParsePolicyLines(std::string_view name, std::string_view text);

// The words of the language, for the parser and for Policy::Explain.
std::string_view PolicyKeyName(PolicyKey key);
std::string_view PolicyValueName(PolicyKey key, uint8_t value);

// The policy this build carries for Linux guests (policies/linux.policy).
const PolicyLayer& BuiltinLinuxPolicy();

}  // namespace mica::rebase
