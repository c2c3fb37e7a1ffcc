// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/apply_test_support.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "tools/guest/ext4/apply_and_verify.h"
#include "tools/guest/ext4/diff.h"
#include "tools/guest/ext4/diff_test_support.h"

namespace mica::guest::testing {
namespace {

PlannedObject PlannedFrom(const ChangedObject& change) {
  PlannedObject planned;
  if (change.before) planned.target_inode = change.before->id.inode;
  const Object& object = change.after ? *change.after : *change.before;
  planned.kind = object.kind;
  planned.attributes = object.attributes;
  planned.symlink_target = object.symlink_target;
  planned.device_major = object.device_major;
  planned.device_minor = object.device_minor;
  if (change.after && object.kind == ObjectKind::kRegular) {
    if (!change.before) planned.content = OursContent{object.id.inode, std::nullopt};
    if (change.before && change.content_changed) {
      planned.content = OursContent{object.id.inode, change.content_ranges};
    }
  }
  return planned;
}

}  // namespace

Plan PlanToRepeat(const ChangeSet& ours) {
  std::map<uint64_t, size_t> made;  // inode in ours -> planned object
  for (size_t i = 0; i < ours.objects.size(); ++i) {
    if (!ours.objects[i].before) made.emplace(ours.objects[i].after->id.inode, i);
  }
  Plan plan;
  for (const ChangedObject& change : ours.objects) {
    PlannedObject planned = PlannedFrom(change);
    for (const Name& name : change.names_after) {
      PlannedName to{{DirectoryRef::Kind::kTargetInode, name.parent}, name.leaf};
      if (const auto at = made.find(name.parent); at != made.end()) {
        to.parent = {DirectoryRef::Kind::kPlannedObject, at->second};
      }
      planned.names.push_back(to);
    }
    plan.objects.push_back(std::move(planned));
  }
  return plan;
}

Plan PlanBetween(const std::string& master, const std::string& vm) {
  const auto before = OpenVolume(master);
  const auto after = OpenVolume(vm);
  if (!before->volume || !after->volume) return {};
  const auto index = BuildIndex(before->volume->fs(), before->volume->io());
  EXPECT_TRUE(index) << index.error().message;
  if (!index) return {};
  const auto ours =
      DiffVolumes({*before->volume, *index, *after->volume, DifferingBlocks(master, vm)});
  EXPECT_TRUE(ours) << ours.error().message;
  return ours ? PlanToRepeat(*ours) : Plan();
}

ApplyResult ApplyAndVerify(const Plan& plan, const std::string& target, const std::string& result,
                           const std::string& ours) {
  const auto master = OpenVolume(target);
  const auto vm = OpenVolume(ours);
  if (!master->volume || !vm->volume) return {};
  const auto index = BuildIndex(master->volume->fs(), master->volume->io());
  EXPECT_TRUE(index) << index.error().message;
  if (!index) return {};
  ApplyResult applied;
  {
    const auto writable = OpenVolume(result, Ext4Access::kReadWrite);
    if (!writable->volume) return {};
    auto done = ApplyPlan({plan, *writable->volume, *index, *vm->volume},
                          {.now = {1'700'000'000, 5}, .generation_seed = 99});
    EXPECT_TRUE(done) << done.error().message;
    if (!done) return {};
    applied = std::move(*done);
    const auto closed = writable->volume->Close();
    EXPECT_TRUE(closed) << closed.error().message;
  }
  // e2fsck 1.47.0 does not accept everything a kernel makes (short symlinks with an attribute block
  // where clusters are larger than blocks): what it says of the VM's own disk is not our doing.
  const bool trusts_kernel =
      std::system(fmt::format("e2fsck -fn {} >/dev/null 2>&1", ours).c_str()) == 0;
  if (trusts_kernel) Shell(fmt::format("e2fsck -fn {}", result));
  const auto finished = OpenVolume(result);
  if (!finished->volume) return {};
  const auto found = VerifyResult({plan, applied, *master->volume, *index, *finished->volume,
                                   DifferingBlocks(target, result), *vm->volume});
  EXPECT_TRUE(found) << found.error().message;
  if (found) {
    for (const Discrepancy& one : *found) ADD_FAILURE() << one.path << ": " << one.what;
  }
  return applied;
}

}  // namespace mica::guest::testing
