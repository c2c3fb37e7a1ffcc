// SPDX-License-Identifier: Apache-2.0
// Does the result of a rebase hold what the plan said, and nothing else? Looks at what a diff of
// the new master and the result has found, so it costs what the new delta holds.
#pragma once

#include <string>
#include <vector>

#include "engine/base/result.h"
#include "tools/guest/apply.h"
#include "tools/guest/change_set.h"
#include "tools/guest/name_source.h"
#include "tools/guest/plan.h"
#include "tools/guest/volume.h"

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

struct Discrepancy {
  std::string path;
  std::string what;  // for people: what was expected and what was found
};

// Empty when all is well. Errors are those of reading.
Result<std::vector<Discrepancy>> VerifyChanges(const ResultInput& input);

}  // namespace mica::guest
