// SPDX-License-Identifier: Apache-2.0
// Does the result of a rebase hold what the plan said, and nothing else? Compares the new master
// with the result block by block, so it costs what the new delta holds.
#pragma once

#include <string>
#include <vector>

#include "engine/base/range.h"
#include "engine/base/result.h"
#include "tools/guest/ext4/apply.h"
#include "tools/guest/ext4/index.h"
#include "tools/guest/ext4/volume.h"
#include "tools/guest/plan.h"

namespace mica::guest {

// All borrowed for the time of the call. `target` and `result` are opened anew, not the volume that
// was written through.
struct VerifyInput {
  const Plan& plan;
  const ApplyResult& applied;
  Ext4Volume& target;              // the new master
  const Ext4Index& index;          // of it
  Ext4Volume& result;              // the new master with the new delta
  std::vector<ByteRange> touched;  // what the new delta stores
  Volume& ours;                    // the VM's volume, where content came from
};

struct Discrepancy {
  std::string path;
  std::string what;  // for people: what was expected and what was found
};

// Empty when all is well. Errors are those of DiffVolumes and of reading.
Result<std::vector<Discrepancy>> VerifyResult(const VerifyInput& input);

}  // namespace mica::guest
