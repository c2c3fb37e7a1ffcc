// SPDX-License-Identifier: Apache-2.0
// Catching up: a volume on which one plan was carried out becomes what a later plan for the same
// target says, by touching only what the two say differently. How a rebase that was prepared while
// the VM ran is finished when it is off.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "engine/base/result.h"
#include "tools/guest/ext4/apply.h"
#include "tools/guest/ext4/content_since.h"
#include "tools/guest/name_source.h"
#include "tools/guest/plan.h"
#include "tools/guest/volume.h"

namespace mica::guest {

// A plan that was carried out, and for each of its objects the inode in the volume; 0: deleted.
struct CarriedOut {
  const Plan& plan;
  const std::vector<uint64_t>& inodes;
};

// The volume that both plans are for, before either.
struct CatchUpTarget {
  Volume& volume;
  const NameSource& names;
};

// Larger files are not made anew from the target.
inline constexpr uint64_t kRestoredBytesMax = uint64_t{8} << 20;

// What became of the content of the VM's inode since the earlier plan; ContentSince::Of.
using ContentChangeOf = std::function<Result<std::optional<ContentChange>>(uint64_t ours_inode)>;

struct CatchUp {
  Plan plan;  // its target is the volume that the earlier plan was carried out on
  // For each object of the later plan: the step in `plan` that makes it so, or else the inode that
  // is so already (0: deleted).
  struct Object {
    std::optional<size_t> step;
    uint64_t inode = 0;
  };
  std::vector<Object> objects;
};

// kMismatch, saying of what, for an object that cannot be made from the earlier state: one of the
// target that the earlier plan has deleted. Then the later plan is carried out from the start.
Result<CatchUp> PlanCatchUp(const CarriedOut& earlier, const Plan& later,
                            const CatchUpTarget& target, const ContentChangeOf& changed);

struct CaughtUp {
  ApplyResult applied;  // as if the later plan had been carried out
  size_t steps = 0;     // objects that were still to be changed
};

// Makes `result`, on which `earlier` was carried out, what `later` says. The names of `result`
// need not be known.
struct CatchUpInput {
  const Plan& earlier;
  const Plan& later;
  const CatchUpTarget& target;
  Volume& ours;  // the VM's volume as it is now
  ContentChangeOf changed;
};
Result<CaughtUp> CatchUpWith(const CatchUpInput& input, Volume& result, VolumeWriter& writer,
                             const ApplyOptions& options);

// The names in the volume after the earlier plan.
class NamesAfter final : public NameSource {
 public:
  // `before`: the names in the target, borrowed.
  NamesAfter(const CarriedOut& earlier, const NameSource& before);
  [[nodiscard]] std::vector<TargetName> AllNamesOf(uint64_t inode) const override;

 private:
  const NameSource& before_;
  std::map<uint64_t, std::vector<TargetName>> planned_;
};

}  // namespace mica::guest
