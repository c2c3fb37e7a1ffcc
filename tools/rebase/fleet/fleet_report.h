// SPDX-License-Identifier: Apache-2.0
// The one report at the end of a fleet job.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/rebase/fleet/vm_row.h"

namespace mica::rebase {

struct FleetFacts {
  std::string onto;
  std::string onto_identity;
  double seconds = 0;   // of this run
  std::string stopped;  // why not all VMs went; empty: they did
};

// {"onto", "onto_identity", "seconds", ["stopped"], "states": {STATE: count},
//  "conflicts": {ACTION: count}, "severities": {SEVERITY: count},
//  "bytes": {"before", "after", "shared", "dropped"}, "vms": [row]}
nlohmann::json FleetReport(const FleetFacts& facts, const std::vector<VmRow>& rows);

// The same for people: one page without anything from elsewhere.
std::string FleetPage(const nlohmann::json& report);

}  // namespace mica::rebase
