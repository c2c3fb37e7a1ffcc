// SPDX-License-Identifier: Apache-2.0
// All names of an object of one volume, for whoever changes or checks them. File systems do not
// tell: an index or a walk over the whole volume does.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mica::guest {

// A name in a volume: an existing directory and a leaf.
struct TargetName {
  uint64_t directory = 0;
  std::string leaf;
  friend auto operator<=>(const TargetName&, const TargetName&) = default;
};

class NameSource {
 public:
  virtual ~NameSource() = default;

  // In any order; none for the root, and for what is not there.
  [[nodiscard]] virtual std::vector<TargetName> AllNamesOf(uint64_t inode) const = 0;
};

}  // namespace mica::guest
