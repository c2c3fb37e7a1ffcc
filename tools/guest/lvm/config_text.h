// SPDX-License-Identifier: Apache-2.0
// The text form in which LVM2 keeps its metadata: sections in braces, `key = value` with numbers,
// strings and lists of both, comments from # to the end of the line. Content is hostile: depth and
// number of nodes are bounded.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/base/result.h"

namespace mica::guest {

using ConfigValue = std::variant<int64_t, std::string>;

struct ConfigNode {
  std::string name;
  std::vector<ConfigValue> values;   // of `name = …`
  std::vector<ConfigNode> children;  // of `name { … }`, in their order

  // Null when there is none of that name.
  [[nodiscard]] const ConfigNode* Find(std::string_view child) const noexcept;
  // Of the child `name = …` with one value; kCorrupt when it is missing or of another kind.
  [[nodiscard]] Result<uint64_t> Number(std::string_view child) const;
  [[nodiscard]] Result<std::string> Text(std::string_view child) const;
};

// A node without a name whose children are what the text has outermost. kCorrupt, with the line.
Result<ConfigNode> ParseConfigText(std::string_view text);

}  // namespace mica::guest
