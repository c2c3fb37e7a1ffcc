// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/catch_up_restore.h"

#include <set>
#include <utility>

namespace mica::guest {

namespace {

Result<PlannedObject> AsInTarget(const CatchUpTarget& target, uint64_t inode) {
  ASSIGN(const Object object, target.volume.Stat(inode));
  PlannedObject planned;
  planned.target_inode = inode;
  planned.kind = object.kind;
  planned.attributes = object.attributes;
  planned.symlink_target = object.symlink_target;
  planned.device_major = object.device_major;
  planned.device_minor = object.device_minor;
  for (TargetName& name : target.names.AllNamesOf(inode)) {
    planned.names.push_back(
        {{DirectoryRef::Kind::kTargetInode, name.directory}, std::move(name.leaf)});
  }
  return planned;
}

// Directories of the target in which a planned object gains or loses a name.
void AddTouched(const PlannedObject& planned, const NameSource& target,
                std::set<uint64_t>& touched) {
  std::set<TargetName> names;
  for (const PlannedName& name : planned.names) {
    const bool in_target = name.parent.kind == DirectoryRef::Kind::kTargetInode;
    if (in_target) names.insert({name.parent.value, name.leaf});
  }
  if (planned.target_inode) {
    for (TargetName& name : target.AllNamesOf(*planned.target_inode)) {
      const uint64_t directory = name.directory;
      if (names.erase(name) == 0) touched.insert(directory);
    }
  }
  for (const TargetName& name : names) touched.insert(name.directory);
}

}  // namespace

Result<std::vector<PlannedObject>> RestoredObjects(const CarriedOut& earlier, const Plan& later,
                                                   const CatchUpTarget& target) {
  std::vector<PlannedObject> restored;
  std::set<uint64_t> still_touched;
  std::set<uint64_t> mentioned;
  for (const PlannedObject& planned : later.objects) {
    AddTouched(planned, target.names, still_touched);
    if (planned.target_inode) mentioned.insert(*planned.target_inode);
  }
  std::set<uint64_t> touched;
  for (size_t j = 0; j < earlier.size(); ++j) {
    const PlannedObject& planned = earlier.Planned(j);
    AddTouched(planned, target.names, touched);
    if (!planned.target_inode || mentioned.contains(*planned.target_inode)) continue;
    // Made anew it would not be the same object.
    if (earlier.Inode(j) == 0) return Misfit(planned, "was deleted and is to be kept");
    ASSIGN(PlannedObject object, AsInTarget(target, *planned.target_inode));
    restored.push_back(std::move(object));
    mentioned.insert(*planned.target_inode);
  }
  for (const uint64_t directory : touched) {
    if (mentioned.contains(directory) || still_touched.contains(directory)) continue;
    ASSIGN(PlannedObject object, AsInTarget(target, directory));
    restored.push_back(std::move(object));
  }
  return restored;
}

}  // namespace mica::guest
