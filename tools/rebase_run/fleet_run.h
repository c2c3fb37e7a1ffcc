// SPDX-License-Identifier: Apache-2.0
// A rebase of many VMs: one `mica rebase VM` process for each, some at a time, with a journal that
// survives whatever ends this process. The processes end with this one; what they had not finished
// is done again by the next run.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tools/rebase/fleet/journal.h"
#include "tools/rebase/fleet/schedule.h"
#include "tools/rebase_run/rebase_front.h"

namespace mica {

struct FleetRequest {
  std::vector<std::string> vms;  // absolute paths, each once
  RebaseRequest each;            // what is the same for all; vm, output and report are not used
  std::filesystem::path job;     // folder of the journal and the report
  size_t workers = 1;
  bool retry_bad = false;  // also VMs that failed, are blocked, in quarantine, or were rolled back
  // Kept deltas that were replaced longer ago go when the VMs are done; empty: none go.
  std::optional<std::chrono::days> keep;
  rebase::ScheduleOptions schedule;
};

// Runs what is left of the job and writes report.json and report.html to its folder. kBusy when
// another process runs this job. SIGINT, SIGTERM and SIGHUP: nothing more is started; the second
// one kills what runs.
Result<ExitStatus> RunFleet(Context& context, const FleetRequest& request);

}  // namespace mica
