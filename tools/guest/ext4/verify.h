// SPDX-License-Identifier: Apache-2.0
// Does the result of a rebase hold what the plan said, and nothing else? Compares the new master
// with the result block by block, so it costs what the new delta holds.
#pragma once

#include <string>
#include <vector>

#include "engine/base/range.h"
#include "engine/base/result.h"
#include "tools/guest/change_set.h"
#include "tools/guest/ext4/apply.h"
#include "tools/guest/ext4/index.h"
#include "tools/guest/ext4/volume.h"
#include "tools/guest/plan.h"

namespace mica::guest {

// A result and how it differs from the new master. All borrowed for the time of the call.
struct ResultInput {
  const Plan& plan;
  const ApplyResult& applied;
  const ChangeSet& changes;        // new master -> result
  const NameSource& target_names;  // of the new master
  Volume& result;
  Volume& ours;  // the VM's volume, where content came from
};

// The same of ext file systems, before they are compared. `target` and `result` are opened anew,
// not the volume that was written through.
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
// Errors are those of reading.
Result<std::vector<Discrepancy>> VerifyChanges(const ResultInput& input);

}  // namespace mica::guest
