// SPDX-License-Identifier: Apache-2.0
// Catching up: a volume on which one plan was carried out becomes what a later plan for the same
// target says, by touching only what the two say differently. How a rebase that was prepared while
// the VM ran is finished when it is off.
#pragma once

#include <functional>
#include <optional>

#include "engine/base/result.h"
#include "tools/guest/apply.h"
#include "tools/guest/content_change.h"
#include "tools/guest/name_source.h"
#include "tools/guest/plan.h"
#include "tools/guest/volume.h"
#include "tools/guest/volume_writer.h"

namespace mica::guest {

// The volume that both plans are for, before either.
struct CatchUpTarget {
  Volume& volume;
  const NameSource& names;
};

// What became of the content of the VM's inode since the earlier plan; ContentSince::Of.
using ContentChangeOf = std::function<Result<std::optional<ContentChange>>(uint64_t ours_inode)>;

struct CaughtUp {
  ApplyResult applied;  // as if the later plan had been carried out
  size_t steps = 0;     // objects that were still to be changed
};

// Makes `result`, on which `earlier` was carried out, what `later` says. The names of `result`
// need not be known. kMismatch, saying of what, for an object that cannot be made from the earlier
// state: one of the target that the earlier plan has deleted. Then the later plan is carried out
// from the start. Other errors are those of ApplyPlanTo.
struct CatchUpInput {
  const Plan& earlier;
  const Plan& later;
  const CatchUpTarget& target;
  Volume& ours;  // the VM's volume as it is now
  ContentChangeOf changed;
};
Result<CaughtUp> CatchUpWith(const CatchUpInput& input, Volume& result, VolumeWriter& writer,
                             const ApplyOptions& options);

}  // namespace mica::guest
