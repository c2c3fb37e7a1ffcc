// SPDX-License-Identifier: Apache-2.0
// The names of a plan against the names of the target: what each object loses, gains and keeps.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "tools/guest/ext4/index.h"
#include "tools/guest/plan.h"
#include "tools/guest/volume.h"

namespace mica::guest {

// A name in the target: an existing directory and a leaf.
struct TargetName {
  uint64_t directory = 0;
  std::string leaf;
  friend auto operator<=>(const TargetName&, const TargetName&) = default;
};

// All names of an inode of the target as it is before; none for the root.
using TargetNames = std::function<std::vector<TargetName>(uint64_t inode)>;

// As an index of the target has them. Borrows the index.
TargetNames NamesIn(const Ext4Index& index);

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
Result<std::vector<NameWork>> FindNameWork(const Plan& plan, const TargetNames& names,
                                           Volume& target);

// How many directories lie above an inode of the target. kCorrupt for a loop.
Result<size_t> DepthOf(const TargetNames& names, uint64_t root, uint64_t inode);

}  // namespace mica::guest
