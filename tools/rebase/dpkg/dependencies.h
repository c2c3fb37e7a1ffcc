// SPDX-License-Identifier: Apache-2.0
// Whether the relations of a set of installed packages hold (Debian policy chapter 7): Depends and
// Pre-Depends are satisfied, Breaks and Conflicts do not apply.
#pragma once

#include <string>
#include <vector>

#include "tools/rebase/dpkg/database.h"

namespace mica::rebase {

struct BrokenRelation {
  std::string package;
  std::string relation;  // "Depends: libc6 (>= 2.36)"
  friend auto operator<=>(const BrokenRelation&, const BrokenRelation&) = default;
};

// Sorted. Architecture qualifiers are ignored: a package of any architecture satisfies a relation.
std::vector<BrokenRelation> FindBrokenRelations(const std::vector<Package>& packages);

}  // namespace mica::rebase
