// SPDX-License-Identifier: Apache-2.0
// What is the same object: renames, files saved by rename, backups, hard links, reused inodes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/rebase/planner.h"
#include "tools/rebase/testing/planner_fixture.h"

namespace mica::rebase {
namespace {

class Identity : public PlannerFixture {};

// --- Renames

TEST_F(Identity, RenamedDifferentlyHasBothNames) {
  s_.ours.Rename("/a", "/a1");
  s_.theirs.Rename("/a", "/a2");
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.Find("/a1"), r.tree.Find("/a2"));
  EXPECT_FALSE(r.tree.Has("/a"));
  EXPECT_EQ(r.Entry("/a").severity, Severity::kWarn);
}

TEST_F(Identity, DirectoryRenamedDifferentlyTakesOurs) {
  s_.ours.Rename("/d", "/d1");
  s_.theirs.Rename("/d", "/d2");
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.Content("/d1/x"), "base of /d/x");
  EXPECT_FALSE(r.tree.Has("/d2"));
  EXPECT_EQ(r.Entry("/d1").severity, Severity::kWarn);
}

TEST_F(Identity, RenameAndPatchCombine) {
  s_.ours.Rename("/a", "/d/a");
  s_.theirs.Replace("/a", "patched");
  s_.theirs.Rename("/b", "/e/b");
  s_.ours.Replace("/b", "ours");
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.Content("/d/a"), "patched");
  EXPECT_FALSE(r.tree.Has("/a"));
  EXPECT_EQ(r.tree.Content("/e/b"), "ours");
  EXPECT_FALSE(r.tree.Has("/b"));
}

TEST_F(Identity, SwappedAndCyclicRenames) {
  s_.ours.Rename("/a", "/tmp");
  s_.ours.Rename("/b", "/a");
  s_.ours.Rename("/d/x", "/b");
  s_.ours.Rename("/tmp", "/d/x");
  s_.theirs.Write("/b", "patched");
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.Content("/a"), "patched");
  EXPECT_EQ(r.tree.Content("/b"), "base of /d/x");
  EXPECT_EQ(r.tree.Content("/d/x"), "base of /a");
  EXPECT_EQ(r.outcome.report.Highest(), Severity::kInfo);
}

TEST_F(Identity, DirectoriesMovedIntoEachOther) {
  s_.ours.Rename("/d", "/e/d");
  s_.theirs.Rename("/e", "/d/e");
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.Content("/e/d/x"), "base of /d/x");
  EXPECT_EQ(r.outcome.report.Highest(), Severity::kError);
}

TEST_F(Identity, OursCreatesWhereTheirsMovesSomething) {
  s_.ours.Write("/n", "ours");
  s_.theirs.Rename("/a", "/n");
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.Content("/n"), "ours");
  EXPECT_EQ(r.tree.Content("/n.mica-theirs"), "base of /a");
  EXPECT_EQ(r.outcome.report.Highest(), Severity::kWarn);
}

TEST_F(Identity, OursCreatesWhereTheirsLinksSomethingInAMovedDirectory) {
  s_.ours.Write("/d/n", "ours");
  s_.ours.Rename("/d", "/e/d");
  s_.theirs.Link("/d/x", "/d/n");
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.Content("/e/d/n"), "ours");
  EXPECT_EQ(r.tree.Find("/e/d/n.mica-theirs"), r.tree.Find("/e/d/x"));
  EXPECT_EQ(r.Entry("/d/n").saved_beside, "n.mica-theirs");
}

// --- Save by rename, backups, hard links

TEST_F(Identity, SaveByRenameIsAModification) {
  s_.base.Write("/t", "1\n2\n3\n");
  s_.Branch();
  s_.ours.Replace("/t", "one\n2\n3\n");
  s_.theirs.Replace("/t", "1\n2\nthree\n");
  s_.ours.Replace("/a", "base of /a");  // rewritten with equal content
  s_.theirs.Write("/a", "patched");
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.Content("/t"), "one\n2\nthree\n");
  EXPECT_EQ(r.tree.Content("/a"), "patched");
  EXPECT_EQ(r.outcome.report.Highest(), Severity::kInfo);
}

TEST_F(Identity, BackupAndNewFile) {
  s_.ours.Rename("/a", "/a~");
  s_.ours.Write("/a", "ours");
  s_.theirs.Write("/a", "theirs");
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.Content("/a"), "ours");
  EXPECT_EQ(r.tree.Content("/a~"), "base of /a");
  EXPECT_EQ(r.Entry("/a").severity, Severity::kWarn);
  EXPECT_EQ(r.Entry("/a~").action, Action::kCarried);
}

TEST_F(Identity, TheirsKeepsABackupOfWhatOursChanged) {
  s_.theirs.Rename("/a", "/a~");
  s_.theirs.Write("/a", "theirs");
  s_.ours.Attributes("/a").mode = 0600;
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.Content("/a"), "theirs");
  EXPECT_EQ(r.tree.At("/a").object.attributes.mode, 0600u);
  EXPECT_EQ(r.tree.Content("/a~"), "base of /a");
}

TEST_F(Identity, PatchShowsThroughANewHardLink) {
  s_.ours.Link("/a", "/e/link");
  s_.theirs.Write("/a", "patched");
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.Find("/a"), r.tree.Find("/e/link"));
  EXPECT_EQ(r.tree.Content("/e/link"), "patched");
}

TEST_F(Identity, HardLinkSetsMergeByName) {
  s_.base.Link("/a", "/a2");
  s_.base.Link("/a", "/a3");
  s_.Branch();
  s_.ours.Remove("/a2");
  s_.ours.Link("/a", "/o");
  s_.theirs.Remove("/a3");
  s_.theirs.Link("/a", "/t");
  const RebaseResult r = s_.Rebase();
  EXPECT_FALSE(r.tree.Has("/a2"));
  EXPECT_FALSE(r.tree.Has("/a3"));
  EXPECT_EQ(r.tree.Find("/a"), r.tree.Find("/o"));
  EXPECT_EQ(r.tree.Find("/a"), r.tree.Find("/t"));
}

TEST_F(Identity, HardLinkBrokenByOursPatchedByTheirs) {
  s_.base.Link("/a", "/a2");
  s_.Branch();
  s_.ours.Replace("/a", "ours");
  s_.theirs.Write("/a2", "theirs");
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.Content("/a"), "ours");
  EXPECT_EQ(r.tree.Content("/a2"), "theirs");
  EXPECT_EQ(r.Entry("/a").severity, Severity::kWarn);
}

TEST_F(Identity, HardLinkBrokenByTheirsChangedByOurs) {
  s_.base.Link("/a", "/a2");
  s_.Branch();
  s_.theirs.Replace("/a", "theirs");
  s_.ours.Write("/a2", "ours");
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.Content("/a"), "ours");
  EXPECT_EQ(r.tree.Content("/a2"), "ours");
  EXPECT_EQ(r.Entry("/a").severity, Severity::kWarn);
}

TEST_F(Identity, HardLinkBrokenByOursStaysBroken) {
  s_.base.Link("/a", "/a2");
  s_.base.Link("/b", "/b2");
  s_.base.Link("/d/x", "/d/x2");
  s_.Branch();
  s_.ours.Replace("/a2", "base of /a");  // the same bytes, later
  s_.ours.Replace("/b2", "base of /b");
  s_.ours.Replace("/d/x2", "base of /d/x");
  for (const char* path : {"/b", "/d/x"}) {
    s_.ours.Attributes(std::string(path) + "2") = s_.ours.Attributes(path);
  }
  s_.theirs.Write("/d/x", "patched");
  const RebaseResult r = s_.Rebase();
  const auto modified = [](const FakeTree& tree, std::string_view path) {
    return tree.At(path).object.attributes.modified;
  };
  EXPECT_NE(r.tree.Find("/a"), r.tree.Find("/a2"));
  EXPECT_EQ(modified(r.tree, "/a"), modified(s_.base, "/a"));
  EXPECT_EQ(modified(r.tree, "/a2"), modified(s_.ours, "/a2"));
  EXPECT_NE(r.tree.Find("/b"), r.tree.Find("/b2"));
  EXPECT_EQ(r.tree.Content("/b2"), "base of /b");
  EXPECT_EQ(r.Entry("/b2").action, Action::kCarried);
  EXPECT_NE(r.tree.Find("/d/x"), r.tree.Find("/d/x2"));
  EXPECT_EQ(r.tree.Content("/d/x"), "patched");
  EXPECT_EQ(r.tree.Content("/d/x2"), "patched");
  EXPECT_EQ(r.outcome.report.Highest(), Severity::kInfo);
}

TEST_F(Identity, InodesReusedOnBothSidesAreOtherObjects) {
  s_.ours.Remove("/a");
  s_.ours.Write("/ours-new", "o");  // gets the inode of /a
  s_.theirs.Remove("/b");
  s_.theirs.Write("/theirs-new", "t");
  const RebaseResult r = s_.Rebase();
  EXPECT_FALSE(r.tree.Has("/a"));
  EXPECT_FALSE(r.tree.Has("/b"));
  EXPECT_EQ(r.tree.Content("/ours-new"), "o");
  EXPECT_EQ(r.tree.Content("/theirs-new"), "t");
}

}  // namespace
}  // namespace mica::rebase
