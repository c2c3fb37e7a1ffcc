// SPDX-License-Identifier: Apache-2.0
// Predictions for many VMs, the worst first.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/rebase/report.h"
#include "tools/rebase_run/rebase_front.h"

namespace mica {

struct FitRunRequest {
  std::vector<std::string> vms;  // absolute paths, each once
  RebaseRequest each;            // what is the same for all
  size_t workers = 1;
  std::optional<rebase::FitLevel> fail_on;
  bool unclassified = false;  // tell what no policy rule speaks of, instead of how well VMs fit
};

// The level that the summary of a prediction has; kHigh when it cannot be read.
rebase::FitLevel FitLevelOf(const std::string& report);

// kFitWorse when a VM is as bad as fail_on, else kError when one could not be looked at.
Result<ExitStatus> RunFit(Context& context, const FitRunRequest& request);

}  // namespace mica
