// SPDX-License-Identifier: Apache-2.0
// Staging many VMs, or forgetting what was staged of them: `mica rebase --stage` for each, so many
// at a time. There is no journal: each VM has what was staged of it, or has not, and the command
// can be given again at any time.
#pragma once

#include <string>
#include <vector>

#include "tools/rebase_run/rebase_front.h"

namespace mica {

enum class StageAction : uint8_t { kStage, kUnstage };

struct StageRunRequest {
  std::vector<std::string> vms;
  RebaseRequest each;  // its vm is not used
  StageAction action = StageAction::kStage;
  size_t workers = 1;
};

// A line a VM as it ends, and how many ended how. kError when one failed, else kConflicts when one
// has conflicts.
Result<ExitStatus> RunStageOfMany(Context& context, const StageRunRequest& request);

}  // namespace mica
