// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/lineage.h"

#include <gtest/gtest.h>

#include "tools/rebase/planner.h"
#include "tools/rebase/testing/plan_applier.h"
#include "tools/rebase/testing/scenario.h"

namespace mica::rebase {
namespace {

// A new master that was not derived from the old one: the same files, made in another order.
FakeTree Rebuilt(const FakeTree& tree) {
  FakeTree copy;
  const auto paths = tree.Paths();
  for (const auto& [path, inode] : paths) {
    if (path != "/" && tree.At(inode).object.kind == guest::ObjectKind::kDirectory) {
      copy.Mkdir(path);
    }
  }
  for (auto item = paths.rbegin(); item != paths.rend(); ++item) {
    const FakeObject& object = tree.At(item->second);
    if (object.object.kind == guest::ObjectKind::kRegular) copy.Write(item->first, object.content);
    if (item->first != "/") copy.Attributes(item->first) = object.object.attributes;
  }
  return copy;
}

// By path, as a walk compares two unrelated trees.
guest::ChangeSet DiffByPath(const FakeTree& before, const FakeTree& after) {
  guest::ChangeSet changes;
  const auto names_before = before.Names();
  const auto names_after = after.Names();
  const auto paths_after = after.Paths();
  for (const auto& [path, inode] : before.Paths()) {
    guest::ChangedObject change;
    change.before = before.At(inode).object;
    change.names_before = names_before.at(inode);
    const auto there = paths_after.find(path);
    if (there != paths_after.end()) {
      change.after = after.At(there->second).object;
      change.names_after = names_after.at(there->second);
      change.content_changed = before.At(inode).content != after.At(there->second).content;
      if (!change.content_changed) continue;
    }
    changes.objects.push_back(std::move(change));
  }
  for (const auto& [path, inode] : paths_after) {
    if (before.Has(path)) continue;
    guest::ChangedObject change;
    change.after = after.At(inode).object;
    change.names_after = names_after.at(inode);
    changes.objects.push_back(std::move(change));
  }
  return changes;
}

TEST(PathLineage, RebasesOntoAnUnrelatedMaster) {
  Scenario s;
  for (const char* directory : {"/d", "/d/e"}) s.base.Mkdir(directory);
  for (const char* file : {"/a", "/b", "/d/x", "/d/e/y"}) s.base.Write(file, file);
  s.Branch();
  s.ours.Write("/d/e/mine", "mine");
  s.ours.Rename("/d/x", "/x");
  s.ours.Remove("/b");
  s.ours.Attributes("/a").mode = 0600;
  s.theirs = Rebuilt(s.base);
  s.theirs.Write("/d/x", "patched");
  s.theirs.Write("/d/new", "new");
  ASSERT_NE(s.theirs.Find("/d/e/y"), s.base.Find("/d/e/y"));

  const guest::ChangeSet ours = DiffTrees(s.base, s.ours);
  const guest::ChangeSet theirs = DiffByPath(s.base, s.theirs);
  FakeVolume base_volume(s.base);
  FakeVolume our_volume(s.ours);
  FakeVolume their_volume(s.theirs);
  const auto lineage = PathLineage::Build(base_volume, their_volume);
  ASSERT_TRUE(lineage.has_value());
  EXPECT_EQ(lineage->Of(*s.base.Find("/d/e/y")), s.theirs.Find("/d/e/y"));
  EXPECT_EQ(lineage->BaseOf(*s.theirs.Find("/d/new")), std::nullopt);
  const auto outcome =
      MakePlan({ours, theirs, base_volume, our_volume, their_volume, *lineage, Policy()});
  ASSERT_TRUE(outcome.has_value()) << outcome.error().message;
  const auto result = ApplyPlan(outcome->plan, s.ours, s.theirs);
  ASSERT_TRUE(result.has_value()) << result.error().message;
  EXPECT_EQ(result->Content("/x"), "patched");
  EXPECT_FALSE(result->Has("/d/x"));
  EXPECT_EQ(result->Content("/d/e/mine"), "mine");
  EXPECT_EQ(result->Content("/d/new"), "new");
  EXPECT_FALSE(result->Has("/b"));
  EXPECT_EQ(result->At("/a").object.attributes.mode, 0600u);
  EXPECT_EQ(outcome->report.Highest(), Severity::kInfo);
}

TEST(PathLineage, ChangeSetThatContradictsTheVolumesIsRefused) {
  Scenario s;
  s.base.Write("/a", "a");
  s.Branch();
  s.ours.Write("/a", "ours");
  s.theirs = FakeTree();
  FakeVolume base_volume(s.base);
  FakeVolume our_volume(s.ours);
  FakeVolume their_volume(s.theirs);
  const auto lineage = PathLineage::Build(base_volume, their_volume);
  const auto outcome = MakePlan(
      {DiffTrees(s.base, s.ours), {}, base_volume, our_volume, their_volume, *lineage, Policy()});
  ASSERT_FALSE(outcome.has_value());
  EXPECT_EQ(outcome.error().code, Errc::kCorrupt);
}

}  // namespace
}  // namespace mica::rebase
