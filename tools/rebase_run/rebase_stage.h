// SPDX-License-Identifier: Apache-2.0
// The part of a VM's rebase that is done ahead, while the VM runs: `mica rebase --stage`.
#pragma once

#include <string>

#include "tools/rebase_run/rebase_front.h"

namespace mica {

// Takes a snapshot of the VM and builds and proves the rebased delta of it, from what was staged
// before when there is such. Repeat it as often as you like: each time costs what has changed
// since. The VM is not touched otherwise; RunRebase finds what is staged.
Result<ExitStatus> RunStage(Context& context, const RebaseRequest& request);

// Forgets what was staged.
Result<ExitStatus> RunUnstage(Context& context, const RebaseRequest& request);

}  // namespace mica
