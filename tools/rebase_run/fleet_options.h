// SPDX-License-Identifier: Apache-2.0
// The command line of a job over many VMs.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/rebase_run/fleet_run.h"

namespace mica {

struct FleetOptions {
  std::vector<std::string> vms;  // paths and patterns
  std::string pool;              // a file with more of them
  std::string job;
  std::optional<size_t> workers;
  size_t canaries = 0;
  size_t wave = 0;
  size_t waves = 0;
  size_t min_ready = 0;
  uint32_t retries = 1;
  std::string halt_after;  // "N" or "P%"; empty: never
  bool halt_on_conflicts = false;
  bool retry_bad = false;
  std::optional<int> keep_days;
};

void AddFleetOptions(CLI::App& command, FleetOptions& options);

// Whether this is about more than one VM.
bool IsFleet(const FleetOptions& options);

bool IsPattern(const std::string& name);

// All VMs that are named: patterns are expanded, a pool file has one path or pattern a line, seen
// from its folder. Absolute paths, each once, in order. kNotFound for a pattern without a match.
Result<std::vector<std::string>> ExpandVms(const std::vector<std::string>& vms,
                                           const std::string& pool);

Result<FleetRequest> MakeFleetRequest(const FleetOptions& options, const RebaseRequest& each);

}  // namespace mica
