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
  // Those below a directory, with their paths from there; "" takes all.
  [[nodiscard]] ForcedSides Below(std::string_view directory) const {
    ForcedSides below;
    const std::string prefix = std::string(directory) + "/";
    for (auto at = by_path_.lower_bound(prefix); at != by_path_.end(); ++at) {
      if (!at->first.starts_with(prefix)) break;
      below.by_path_.emplace(at->first.substr(directory.size()), at->second);
    }
    return below;
  }
  [[nodiscard]] const ForcedSide* Find(std::string_view path) const {
    const auto at = by_path_.find(path);
    return at == by_path_.end() ? nullptr : &at->second;
  }

 private:
  std::map<std::string, ForcedSide, std::less<>> by_path_;
};

}  // namespace mica::rebase
