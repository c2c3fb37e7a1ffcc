// SPDX-License-Identifier: Apache-2.0
// What is wrong, or not what its writer can have meant, in policy files. Judged as a stack: a rule
// is compared with all others that are asked before or after it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tools/rebase/policy.h"

namespace mica::rebase {

enum class LintLevel : uint8_t {
  kNotice,   // works, and could be left out
  kWarning,  // is read, and does not do what it says
  kError,    // the file is refused
};

struct LintFinding {
  LintLevel level = LintLevel::kNotice;
  // "syntax", "no-path", "no-use", "contradiction", "shadowed", "duplicate", "repeats",
  // "takes-nothing-back"
  std::string_view kind;
  std::string file;
  int line = 0;
  std::string rule;     // its pattern; empty when it could not be read
  std::string message;  // what was expected and what was found
  std::string help;
  std::string other;  // "FILE:LINE" of the rule that it is about as well; may be empty
};

struct PolicyText {
  std::string name;
  std::string text;
};

// Findings about `files`, in their order and by line. The layers in `below` come before them and
// are not judged.
std::vector<LintFinding> LintPolicies(std::span<const PolicyLayer> below,
                                      std::span<const PolicyText> files);

std::string_view LintLevelName(LintLevel level);  // "notice", "warning", "error"

}  // namespace mica::rebase
