// SPDX-License-Identifier: Apache-2.0
// Paths whose side follows from something larger than the path: the package they belong to, or the
// group of alternatives.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "tools/rebase/severity.h"

namespace mica::rebase {

struct ForcedSide {
  enum class Strength : uint8_t {
    kInConflict,  // where both sides changed the path, or one removed it
    kAlways,      // the whole unit comes from one side, also what only the other one changed
  };
  Side side = Side::kTheirs;
  Strength strength = Strength::kInConflict;
  std::string package;  // or the group
};

class ForcedSides {
 public:
  // The first of two entries for a path stays, unless only the second one is for always.
  void Set(const std::string& path, const ForcedSide& side) {
    const auto [at, fresh] = by_path_.emplace(path, side);
    const bool stronger = side.strength == ForcedSide::Strength::kAlways &&
                          at->second.strength != ForcedSide::Strength::kAlways;
    if (!fresh && stronger) at->second = side;
  }
  [[nodiscard]] const ForcedSide* Find(std::string_view path) const {
    const auto at = by_path_.find(path);
    return at == by_path_.end() ? nullptr : &at->second;
  }

 private:
  std::map<std::string, ForcedSide, std::less<>> by_path_;
};

}  // namespace mica::rebase
