// SPDX-License-Identifier: Apache-2.0
// The rule under every merge: a value only one side changed is that side's.
#pragma once

#include <optional>

namespace mica::rebase {

// Empty when both sides changed the value, differently.
template <class Value>
std::optional<Value> ThreeWay(const Value& base, const Value& ours, const Value& theirs) {
  if (ours == theirs || theirs == base) return ours;
  if (ours == base) return theirs;
  return std::nullopt;
}

}  // namespace mica::rebase
