// SPDX-License-Identifier: Apache-2.0
// A volume on which a plan was carried out: what became of each object, and the names there are.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "engine/base/error.h"
#include "tools/guest/name_source.h"
#include "tools/guest/plan.h"

namespace mica::guest {

class CarriedOut final : public NameSource {
 public:
  // `inodes`: of each object of the plan in the volume, 0: deleted; as many as the plan has
  // objects. `before`: the names in the target. All borrowed.
  CarriedOut(const Plan& plan, const std::vector<uint64_t>& inodes, const NameSource& before);

  [[nodiscard]] size_t size() const { return plan_.objects.size(); }
  [[nodiscard]] const PlannedObject& Planned(size_t i) const { return plan_.objects[i]; }
  [[nodiscard]] uint64_t Inode(size_t i) const { return inodes_[i]; }
  // The planned object that an object of the target became; none: nothing was done to it.
  [[nodiscard]] std::optional<size_t> OfTarget(uint64_t target_inode) const;
  // A directory that the plan speaks of; 0: it is gone.
  [[nodiscard]] uint64_t Directory(const DirectoryRef& ref) const;
  [[nodiscard]] std::set<TargetName> NamesOf(size_t i) const;

  [[nodiscard]] std::vector<TargetName> AllNamesOf(uint64_t inode) const override;

 private:
  const Plan& plan_;
  const std::vector<uint64_t>& inodes_;
  const NameSource& before_;
  std::map<uint64_t, size_t> by_target_;
  std::map<uint64_t, size_t> by_inode_;
};

// kMismatch: that object of a plan cannot be come by from what was carried out.
Error Misfit(const PlannedObject& planned, std::string_view what);

}  // namespace mica::guest
