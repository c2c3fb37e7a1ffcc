// SPDX-License-Identifier: Apache-2.0
// The names of a plan against the names of the target: what each object loses, gains and keeps.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "tools/guest/name_source.h"
#include "tools/guest/plan.h"
#include "tools/guest/volume.h"

namespace mica::guest {

// What is to be done with the names of one planned object.
struct NameWork {
  // The object of the target that becomes the planned one; none: it is made, and an object of the
  // target that cannot become it (another kind, another symlink target) loses all its names.
  std::optional<uint64_t> inode;
  std::vector<TargetName> lost;
  std::vector<PlannedName> gained;
  bool deleted = false;        // nothing of it is left
  bool was_directory = false;  // the object of the target is one
  bool staged = false;         // its name is in the staging directory for now

  [[nodiscard]] bool moves() const { return inode && !lost.empty() && !gained.empty(); }
};

// One per planned object, in order. kInvalidArgument when the plan names objects that are not
// there.
Result<std::vector<NameWork>> FindNameWork(const Plan& plan, const NameSource& target_names,
                                           Volume& target);

// How many directories lie above an inode of the target. kCorrupt for a loop.
Result<size_t> DepthOf(const NameSource& names, uint64_t root, uint64_t inode);

}  // namespace mica::guest
