// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/apply_names.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

namespace mica::guest {
namespace {

constexpr size_t kDepthMax = 8192;

Error BadPlan(std::string_view what) {
  return {Errc::kInvalidArgument, fmt::format("rebase plan: {}", what)};
}

// Kind, symlink target and device numbers are made with an object and stay.
bool CanBecome(const Object& object, const PlannedObject& planned) {
  if (object.kind != planned.kind) return false;
  switch (planned.kind) {
    case ObjectKind::kSymlink:
      return object.symlink_target == planned.symlink_target;
    case ObjectKind::kCharDevice:
    case ObjectKind::kBlockDevice:
      return object.device_major == planned.device_major &&
             object.device_minor == planned.device_minor;
    default:
      return true;
  }
}

// The directory of a name if it exists in the target already.
Result<std::optional<uint64_t>> ExistingDirectory(const Plan& plan, const DirectoryRef& ref) {
  if (ref.kind == DirectoryRef::Kind::kTargetInode) return std::optional<uint64_t>(ref.value);
  if (ref.value >= plan.objects.size()) {
    return BadPlan(fmt::format("a name in object {} of {}", ref.value, plan.objects.size()));
  }
  return plan.objects[ref.value].target_inode;
}

class Finder {
 public:
  Finder(const Plan& plan, const NameSource& names, Volume& target)
      : plan_(plan), names_(names), target_(target) {}

  Result<NameWork> Find(const PlannedObject& planned) {
    NameWork work;
    work.deleted = planned.names.empty();
    if (planned.target_inode == target_.root()) {
      // The root has no name to change.
      work.inode = planned.target_inode;
      work.deleted = false;
      return work;
    }
    if (!planned.target_inode) {
      work.gained = planned.names;
      return work;
    }
    TRY(FindExisting(planned, work));
    return work;
  }

 private:
  Result<void> FindExisting(const PlannedObject& planned, NameWork& work) {
    const uint64_t inode = *planned.target_inode;
    ASSIGN(const Object object, target_.Stat(inode));
    work.was_directory = object.kind == ObjectKind::kDirectory;
    std::vector<TargetName> names = names_.AllNamesOf(inode);
    std::set<TargetName> current(names.begin(), names.end());
    if (current.empty()) {
      return BadPlan(fmt::format("inode {} of the target has no name", inode));
    }
    const bool becomes = work.deleted || CanBecome(object, planned);
    if (becomes) work.inode = inode;
    for (const PlannedName& name : planned.names) {
      ASSIGN(const auto directory, ExistingDirectory(plan_, name.parent));
      const bool kept = becomes && directory && current.erase({*directory, name.leaf}) != 0;
      if (!kept) work.gained.push_back(name);
    }
    work.lost.assign(current.begin(), current.end());
    return {};
  }

  const Plan& plan_;
  const NameSource& names_;
  Volume& target_;
};

}  // namespace

Result<std::vector<NameWork>> FindNameWork(const Plan& plan, const NameSource& target_names,
                                           Volume& target) {
  std::vector<NameWork> all;
  all.reserve(plan.objects.size());
  Finder finder(plan, target_names, target);
  for (const PlannedObject& planned : plan.objects) {
    ASSIGN(NameWork work, finder.Find(planned));
    all.push_back(std::move(work));
  }
  return all;
}

Result<size_t> DepthOf(const NameSource& names, uint64_t root, uint64_t inode) {
  size_t depth = 0;
  while (inode != root) {
    const std::vector<TargetName> here = names.AllNamesOf(inode);
    if (here.empty()) return depth;
    inode = here.front().directory;
    if (++depth > kDepthMax) return Error{Errc::kCorrupt, "directories of the target form a loop"};
  }
  return depth;
}

}  // namespace mica::guest
