// SPDX-License-Identifier: Apache-2.0
// The rebase of one VM, from the command line to the switch: makes room, has a worker process build
// and prove the new delta, and gives the result its place. It reads nothing that a guest wrote.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tools/rebase_run/rebase_builder.h"

namespace mica {

Result<ExitStatus> RunRebase(Context& context, const RebaseRequest& request);

// What a rebase would report. All empty when the worker failed; it has said why then.
struct Prediction {
  std::string json;  // as docs/rebase.md describes it
  std::string text;
  ExitStatus status = ExitStatus::kDone;
};
// Writes nothing; `output`, `report` and `skip_check` are not used.
Result<Prediction> Predict(const Context& context, const RebaseRequest& request);
// The two halves of it, for predictions side by side.
WorkerRequest PredictionRequest(const Context& context, const RebaseRequest& request);
Prediction PredictionOf(ExitStatus status, const std::string& output);

// Makes sure that what VMs share is kept beside their masters, once for each old master; where it
// cannot be kept, every VM works it out for itself. `folder` is there and ours.
Result<void> PrepareForAll(const Context& context, const std::vector<std::string>& vms,
                           const RebaseRequest& each, const std::filesystem::path& folder);

}  // namespace mica
