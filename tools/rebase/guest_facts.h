// SPDX-License-Identifier: Apache-2.0
// What a planner needs to know of the whole guest, of which it plans one volume: packages and
// alternatives have records on one volume and files on others.
#pragma once

#include <string>

#include "engine/base/result.h"
#include "tools/rebase/dpkg/units.h"
#include "tools/rebase/forced_sides.h"
#include "tools/rebase/policy.h"

namespace mica::rebase {

struct GuestFacts {
  PackageUnits packages;
  ForcedSides link_groups;
  std::string database;  // mount point of the volume that has dpkg's records
};

// Of a guest with its volumes at these mount points; the trees are of all of them.
Result<GuestFacts> FindGuestFacts(const PackageTrees& trees,
                                  const std::vector<std::string>& mount_points,
                                  const Policy& policy);

// For the volume at a mount point: paths are the volume's.
GuestFacts FactsBelow(const GuestFacts& guest, const std::string& mount_point);

}  // namespace mica::rebase
