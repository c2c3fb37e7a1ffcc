// SPDX-License-Identifier: Apache-2.0
// Plans on ext file systems: carried out with our own writer, verified by the delta-bounded diff.
#pragma once

#include <vector>

#include "engine/base/range.h"
#include "engine/base/result.h"
#include "tools/guest/apply.h"
#include "tools/guest/ext4/index.h"
#include "tools/guest/ext4/volume.h"
#include "tools/guest/plan.h"
#include "tools/guest/verify.h"
#include "tools/guest/volume.h"

namespace mica::guest {

// All borrowed for the time of the call.
struct ApplyInput {
  const Plan& plan;
  Ext4Volume& target;      // open for writing
  const Ext4Index& index;  // of `target` as it is before
  Volume& ours;
};

// As ApplyPlanTo.
Result<ApplyResult> ApplyPlan(const ApplyInput& input, const ApplyOptions& options);

// `target` and `result` are opened anew, not the volume that was written through.
struct VerifyInput {
  const Plan& plan;
  const ApplyResult& applied;
  Ext4Volume& target;              // the new master
  const Ext4Index& index;          // of it
  Ext4Volume& result;              // the new master with the new delta
  std::vector<ByteRange> touched;  // what the new delta stores
  Volume& ours;                    // the VM's volume, where content came from
};

// As VerifyChanges. Errors are those of DiffVolumes, too.
Result<std::vector<Discrepancy>> VerifyResult(const VerifyInput& input);

}  // namespace mica::guest
