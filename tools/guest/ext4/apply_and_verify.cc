// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/apply_and_verify.h"

#include "tools/guest/ext4/diff.h"
#include "tools/guest/ext4/writer.h"

namespace mica::guest {

Result<ApplyResult> ApplyPlan(const ApplyInput& input, const ApplyOptions& options) {
  Ext4Writer writer(input.target, {.now = options.now, .generation_seed = options.generation_seed});
  return ApplyPlanTo({input.target, writer, input.index}, input.plan, input.ours, options);
}

Result<std::vector<Discrepancy>> VerifyResult(const VerifyInput& input) {
  ASSIGN(const ChangeSet changes,
         DiffVolumes({input.target, input.index, input.result, input.touched}));
  return VerifyChanges({input.plan, input.applied, changes, input.index, input.result, input.ours});
}

}  // namespace mica::guest
