// SPDX-License-Identifier: Apache-2.0
// Relations of installed packages (Debian policy chapter 7).
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

// Whether the relations of a set of packages hold: Depends and Pre-Depends are satisfied, Breaks
// and Conflicts do not apply. Sorted. Architecture qualifiers are ignored: a package of any
// architecture satisfies a relation.
std::vector<BrokenRelation> FindBrokenRelations(const std::vector<Package>& packages);

// Whether `successor` takes the place of that version of a package (policy 7.6.2): it replaces it,
// and the two cannot be installed together.
bool TakesPlaceOf(const Package& successor, const std::string& name, const std::string& version);

}  // namespace mica::rebase
