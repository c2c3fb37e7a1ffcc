// SPDX-License-Identifier: Apache-2.0
// The groups of update-alternatives(1), /var/lib/dpkg/alternatives/NAME: what both sides registered
// is kept, and the link of a group follows the side whose choice wins in the result.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/rebase/mergers/merger.h"

namespace mica::rebase {

struct AlternativeChoice {
  std::string priority;
  std::map<std::string, std::string>
      slaves;  // link name -> path; those it does not have are absent
  friend bool operator==(const AlternativeChoice&, const AlternativeChoice&) = default;
};

struct AlternativeGroup {
  std::string mode;                                  // "auto" or "manual"
  std::string link;                                  // of the group itself
  std::map<std::string, std::string> slaves;         // link name -> link
  std::map<std::string, AlternativeChoice> choices;  // path -> choice

  // Empty when the text is not of this form. An empty text is a group without anything.
  static std::optional<AlternativeGroup> Parse(std::string_view text);
  [[nodiscard]] std::string Format() const;
  // The choice with the highest priority; empty when there is none.
  [[nodiscard]] std::string Best() const;
};

MergeOutput MergeAlternatives(const MergeInput& input);

}  // namespace mica::rebase
