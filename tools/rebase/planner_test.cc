// SPDX-License-Identifier: Apache-2.0
// The merge table, row by row. planner_identity_test.cc has the traps of identity.
#include "tools/rebase/planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/rebase/testing/planner_fixture.h"

namespace mica::rebase {
namespace {

using testing::HasSubstr;

class Planner : public PlannerFixture {};

// --- Only one changed it; both changed it alike

TEST_F(Planner, NothingChanged) {
  const RebaseResult r = s_.Rebase();
  EXPECT_TRUE(r.outcome.plan.objects.empty());
  EXPECT_TRUE(r.outcome.report.entries().empty());
}

TEST_F(Planner, OnlyTheirsNeedsNoPlan) {
  s_.theirs.Write("/a", "patched");
  s_.theirs.Remove("/d/x");
  s_.theirs.Write("/n", "new");
  const RebaseResult r = s_.Rebase();
  EXPECT_TRUE(r.outcome.plan.objects.empty());
  EXPECT_TRUE(r.outcome.report.entries().empty());
}

TEST_F(Planner, OnlyOursIsCarried) {
  s_.ours.Write("/a", "base OF /a");
  s_.ours.Remove("/d/x");
  s_.ours.Mkdir("/n");
  s_.ours.Write("/n/f", "new");
  s_.ours.Symlink("/n/l", "f");
  s_.ours.Attributes("/b").mode = 0600;
  s_.theirs.Write("/d/y", "patched");
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.Content("/a"), "base OF /a");
  EXPECT_FALSE(r.tree.Has("/d/x"));
  EXPECT_EQ(r.tree.Content("/n/f"), "new");
  EXPECT_EQ(r.tree.At("/n/l").object.symlink_target, "f");
  EXPECT_EQ(r.tree.At("/b").object.attributes.mode, 0600u);
  EXPECT_EQ(r.tree.Content("/b"), "base of /b");
  EXPECT_EQ(r.tree.Content("/d/y"), "patched");
  EXPECT_EQ(r.Entry("/a").action, Action::kCarried);
  EXPECT_EQ(r.Entry("/d/x").action, Action::kCarried);
  EXPECT_TRUE(r.Entry("/d/x").ours.deleted);
  EXPECT_EQ(r.outcome.report.Highest(), Severity::kInfo);
}

TEST_F(Planner, AChangeInPlaceIsOnlyItsRanges) {
  s_.ours.Write("/a", "base OF /a");
  const RebaseResult r = s_.Rebase();
  ASSERT_EQ(r.outcome.plan.objects.size(), 1u);
  const auto& content = std::get<guest::OursContent>(r.outcome.plan.objects[0].content);
  ASSERT_TRUE(content.ranges.has_value());
  EXPECT_THAT(*content.ranges, testing::ElementsAre(ByteRange{4, 4}));
}

TEST_F(Planner, BothAlike) {
  s_.ours.Write("/a", "same");
  s_.theirs.Write("/a", "same");
  s_.ours.Remove("/b");
  s_.theirs.Remove("/b");
  s_.ours.Write("/n", "same new");
  s_.theirs.Write("/n", "same new");
  s_.ours.Mkdir("/m");
  s_.theirs.Mkdir("/m");
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.Content("/a"), "same");
  EXPECT_EQ(r.tree.Content("/n"), "same new");
  EXPECT_FALSE(r.tree.Has("/b"));
  for (const char* path : {"/a", "/b", "/n", "/m"}) {
    EXPECT_EQ(r.Entry(path).action, Action::kEqual) << path;
    EXPECT_EQ(r.Entry(path).severity, Severity::kInfo) << path;
  }
  EXPECT_TRUE(r.outcome.plan.objects.empty());
}

// --- Both changed the content

TEST_F(Planner, TextMergesCleanly) {
  s_.base.Write("/t", "1\n2\n3\n4\n");
  s_.Branch();
  s_.ours.Write("/t", "one\n2\n3\n4\n");
  s_.theirs.Replace("/t", "1\n2\n3\nfour\n");
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.Content("/t"), "one\n2\n3\nfour\n");
  EXPECT_EQ(r.Entry("/t").action, Action::kMerged);
  EXPECT_EQ(r.Entry("/t").merger, "text");
  EXPECT_EQ(r.Entry("/t").severity, Severity::kInfo);
}

TEST_F(Planner, ConflictKeepsOursAndSavesTheirs) {
  s_.ours.Write("/a", "ours");
  s_.theirs.Write("/a", "theirs");
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.Content("/a"), "ours");
  const ReportEntry& entry = r.Entry("/a");
  EXPECT_EQ(entry.action, Action::kOurs);
  EXPECT_EQ(entry.severity, Severity::kWarn);
  ASSERT_TRUE(entry.rescue.has_value());
  const RescueItem& rescue = r.outcome.rescues.at(*entry.rescue);
  EXPECT_EQ(rescue.side, Side::kTheirs);
  EXPECT_EQ(s_.theirs.At(rescue.inode).content, "theirs");
  ASSERT_TRUE(entry.our_facts && entry.their_facts && entry.base_facts);
  EXPECT_NE(*entry.our_facts->digest, *entry.their_facts->digest);
  EXPECT_EQ(entry.our_facts->size, 4u);
}

struct RuleCase {
  const char* rule;
  const char* content;
  Action action;
  Severity severity;
  Verdict verdict;
};

class ConflictRules : public testing::TestWithParam<RuleCase> {};

TEST_P(ConflictRules, Decide) {
  Scenario s;
  s.base.Write("/a", "base");
  s.Branch();
  s.ours.Write("/a", "ours");
  s.theirs.Write("/a", "theirs, the newer");
  const RebaseResult r = s.Rebase(std::string("/a ") + GetParam().rule + "\n");
  EXPECT_EQ(r.tree.Content("/a"), GetParam().content);
  EXPECT_EQ(r.Entry("/a").action, GetParam().action);
  EXPECT_EQ(r.Entry("/a").severity, GetParam().severity);
  EXPECT_EQ(r.outcome.report.GetVerdict(), GetParam().verdict);
  EXPECT_EQ(r.Entry("/a").rule, "test:1: /a");
}

INSTANTIATE_TEST_SUITE_P(
    Rules, ConflictRules,
    testing::Values(
        RuleCase{"both=ours", "ours", Action::kOurs, Severity::kNotice, Verdict::kClean},
        RuleCase{"both=theirs", "theirs, the newer", Action::kTheirs, Severity::kNotice,
                 Verdict::kClean},
        RuleCase{"both=newer", "theirs, the newer", Action::kTheirs, Severity::kNotice,
                 Verdict::kClean},
        RuleCase{"both=keep-both", "ours", Action::kBoth, Severity::kNotice, Verdict::kClean},
        RuleCase{"both=fail", "ours", Action::kOurs, Severity::kError, Verdict::kConflicts},
        RuleCase{"both=fail sev=block", "ours", Action::kOurs, Severity::kBlock, Verdict::kBlocked},
        RuleCase{"both=auto sev=info", "ours", Action::kOurs, Severity::kInfo, Verdict::kClean},
        RuleCase{"one=drop", "theirs, the newer", Action::kDropped, Severity::kNotice,
                 Verdict::kClean}));

TEST_F(Planner, BesideKeepsTheLoserInTheImage) {
  s_.ours.Write("/a", "ours");
  s_.theirs.Write("/a", "theirs");
  s_.theirs.Write("/a.mica-theirs", "in the way");
  s_.ours.Write("/b", "ours b");
  s_.theirs.Write("/b", "theirs b");
  const RebaseResult r = s_.Rebase("/* save=beside\n/b both=theirs\n");
  EXPECT_EQ(r.tree.Content("/a"), "ours");
  EXPECT_EQ(r.tree.Content("/a.mica-theirs.2"), "theirs");
  EXPECT_EQ(r.tree.Content("/a.mica-theirs"), "in the way");
  EXPECT_EQ(r.Entry("/a").saved_beside, "a.mica-theirs.2");
  EXPECT_EQ(r.tree.Content("/b"), "theirs b");
  EXPECT_EQ(r.tree.Content("/b.mica-ours"), "ours b");
}

TEST_F(Planner, AddAddIsLikeBothChanged) {
  s_.ours.Write("/n", "ours");
  s_.theirs.Write("/n", "theirs");
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.Content("/n"), "ours");
  EXPECT_EQ(r.Entry("/n").severity, Severity::kWarn);
  EXPECT_EQ(r.outcome.rescues.size(), 1u);
}

TEST_F(Planner, SymlinksConflictWhole) {
  s_.base.Symlink("/l", "a");
  s_.Branch();
  s_.ours.Remove("/l");
  s_.ours.Symlink("/l", "b");
  s_.theirs.Remove("/l");
  s_.theirs.Symlink("/l", "d/x");
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.At("/l").object.symlink_target, "b");
  EXPECT_EQ(r.Entry("/l").severity, Severity::kWarn);
}

// --- Removed by one, changed by the other

TEST_F(Planner, RemovedByOursChangedByTheirsStays) {
  s_.ours.Remove("/a");
  s_.theirs.Write("/a", "patched");
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.Content("/a"), "patched");
  EXPECT_EQ(r.Entry("/a").action, Action::kKept);
  EXPECT_EQ(r.Entry("/a").severity, Severity::kWarn);
}

TEST_F(Planner, ChangedByOursRemovedByTheirsStays) {
  s_.ours.Write("/a", "ours");
  s_.theirs.Remove("/a");
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.Content("/a"), "ours");
  EXPECT_EQ(r.Entry("/a").action, Action::kKept);
  EXPECT_EQ(r.Entry("/a").severity, Severity::kWarn);
}

TEST_F(Planner, DelmodDeleteRemovesAndSaves) {
  s_.ours.Write("/a", "ours");
  s_.theirs.Remove("/a");
  const RebaseResult r = s_.Rebase("/a delmod=delete\n");
  EXPECT_FALSE(r.tree.Has("/a"));
  EXPECT_EQ(r.Entry("/a").action, Action::kRemoved);
  ASSERT_EQ(r.outcome.rescues.size(), 1u);
  EXPECT_EQ(r.outcome.rescues[0].side, Side::kOurs);
}

// --- Kinds

TEST_F(Planner, TypeChangeAgainstNothingIsTaken) {
  s_.ours.Remove("/a");
  s_.ours.Mkdir("/a");
  s_.ours.Write("/a/in", "x");
  s_.ours.Remove("/d");
  s_.ours.Symlink("/d", "e");
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.Content("/a/in"), "x");
  EXPECT_EQ(r.tree.At("/d").object.symlink_target, "e");
  EXPECT_EQ(r.outcome.report.Highest(), Severity::kInfo);
}

TEST_F(Planner, TypeChangeAgainstAChangeIsAnErrorAndNothingIsLost) {
  s_.ours.Remove("/a");
  s_.ours.Mkdir("/a");
  s_.ours.Write("/a/in", "x");
  s_.theirs.Write("/a", "patched");
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.Content("/a/in"), "x");
  EXPECT_EQ(r.tree.Content("/a.mica-theirs"), "patched");
  EXPECT_EQ(r.outcome.report.Highest(), Severity::kError);
}

TEST_F(Planner, TypeChangeWithARuleForTheirs) {
  s_.ours.Remove("/a");
  s_.ours.Symlink("/a", "b");
  s_.theirs.Write("/a", "patched");
  const RebaseResult r = s_.Rebase("/a type=theirs\n");
  EXPECT_EQ(r.tree.Content("/a"), "patched");
  EXPECT_EQ(r.tree.At("/a.mica-ours").object.symlink_target, "b");
  EXPECT_EQ(r.outcome.report.Highest(), Severity::kWarn);
}

TEST_F(Planner, DirectoryBecameALinkWhileTheirsPatchedInside) {
  s_.ours.Rename("/d", "/moved");
  s_.ours.Symlink("/d", "moved");
  s_.theirs.Write("/d/x", "patched");
  s_.theirs.Write("/d/new", "added");
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.Content("/moved/x"), "patched");
  EXPECT_EQ(r.tree.Content("/moved/new"), "added");
  EXPECT_EQ(r.tree.At("/d").object.symlink_target, "moved");
}

// --- Directories

TEST_F(Planner, DirectoryRemovedByTheirsHoldsOursNewFile) {
  s_.ours.Attributes("/d").mode = 0755;
  s_.ours.Write("/d/sub/mine", "mine");
  s_.theirs.Remove("/d");
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.Content("/d/sub/mine"), "mine");
  EXPECT_FALSE(r.tree.Has("/d/x"));
  EXPECT_EQ(r.Entry("/d").action, Action::kKept);
  EXPECT_EQ(r.Entry("/d/sub").severity, Severity::kNotice);
  EXPECT_EQ(r.outcome.report.Highest(), Severity::kNotice);
}

TEST_F(Planner, DirectoryRemovedByOursGetsFilesFromTheirs) {
  s_.ours.Remove("/d");
  s_.theirs.Write("/d/sub/new", "added");
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.Content("/d/sub/new"), "added");
  EXPECT_FALSE(r.tree.Has("/d/x"));
  EXPECT_FALSE(r.tree.Has("/d/sub/z"));
  EXPECT_EQ(r.Entry("/d/sub").action, Action::kKept);
}

TEST_F(Planner, PatchFollowsAMovedDirectory) {
  s_.ours.Rename("/d", "/e/d2");
  s_.theirs.Write("/d/x", "patched");
  s_.theirs.Replace("/d/sub/z", "patched z");
  s_.theirs.Write("/d/sub/new", "added");
  s_.theirs.Remove("/d/y");
  const RebaseResult r = s_.Rebase();
  EXPECT_FALSE(r.tree.Has("/d"));
  EXPECT_EQ(r.tree.Content("/e/d2/x"), "patched");
  EXPECT_EQ(r.tree.Content("/e/d2/sub/z"), "patched z");
  EXPECT_EQ(r.tree.Content("/e/d2/sub/new"), "added");
  EXPECT_FALSE(r.tree.Has("/e/d2/y"));
  EXPECT_EQ(r.Entry("/e/d2").severity, Severity::kNotice);
  EXPECT_EQ(r.outcome.plan.objects.size(), 1u);
}

TEST_F(Planner, DirectoryMovedByOursRemovedByTheirsKeepsItsContent) {
  s_.ours.Rename("/d", "/e/d2");
  s_.theirs.Remove("/d");
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.Content("/e/d2/x"), "base of /d/x");
  EXPECT_EQ(r.tree.Content("/e/d2/sub/z"), "base of /d/sub/z");
  EXPECT_EQ(r.Entry("/e/d2").severity, Severity::kWarn);
}

TEST_F(Planner, DirectoryMovedByTheirsWhereOursAddsInside) {
  s_.theirs.Rename("/d", "/e/d2");
  s_.ours.Write("/d/mine", "mine");
  s_.ours.Write("/d/x", "ours");
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.Content("/e/d2/mine"), "mine");
  EXPECT_EQ(r.tree.Content("/e/d2/x"), "ours");
  EXPECT_FALSE(r.tree.Has("/d"));
  EXPECT_EQ(r.Entry("/e/d2").severity, Severity::kNotice);
  EXPECT_THAT(r.Entry("/e/d2").detail, HasSubstr("moved by the new master"));
}

TEST_F(Planner, DirectoryRemadeByOurs) {
  s_.ours.Remove("/d");
  s_.ours.Mkdir("/d");
  s_.ours.Write("/d/x", "ours");
  s_.theirs.Write("/d/x", "theirs");
  s_.theirs.Write("/d/y", "patched");
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.Content("/d/x"), "ours");
  EXPECT_EQ(r.Entry("/d/x").severity, Severity::kWarn);
  EXPECT_EQ(r.tree.Content("/d/y"), "patched");
  EXPECT_FALSE(r.tree.Has("/d/sub"));
}

TEST_F(Planner, BothMadeTheSameDirectories) {
  for (FakeTree* tree : {&s_.ours, &s_.theirs}) {
    tree->Mkdir("/n");
    tree->Mkdir("/n/m");
  }
  s_.ours.Write("/n/m/o", "o");
  s_.theirs.Write("/n/m/t", "t");
  s_.ours.Write("/n/m/both", "same");
  s_.theirs.Write("/n/m/both", "same");
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.Content("/n/m/o"), "o");
  EXPECT_EQ(r.tree.Content("/n/m/t"), "t");
  EXPECT_EQ(r.outcome.plan.objects.size(), 1u);
  EXPECT_EQ(r.outcome.report.Highest(), Severity::kInfo);
}

// --- Attributes

TEST_F(Planner, AttributesMergeOneByOne) {
  s_.base.Attributes("/a").xattrs = {{"user.keep", "1"}, {"user.gone", "1"}};
  s_.Branch();
  s_.ours.Attributes("/a").mode = 0600;
  s_.ours.Attributes("/a").xattrs["user.ours"] = "o";
  s_.ours.Attributes("/a").xattrs.erase("user.gone");
  s_.theirs.Attributes("/a").uid = 33;
  s_.theirs.Attributes("/a").xattrs["user.theirs"] = "t";
  s_.theirs.Write("/a", "patched");
  const RebaseResult r = s_.Rebase();
  const guest::Attributes& attributes = r.tree.At("/a").object.attributes;
  EXPECT_EQ(attributes.mode, 0600u);
  EXPECT_EQ(attributes.uid, 33u);
  EXPECT_EQ(attributes.xattrs.size(), 3u);
  EXPECT_EQ(attributes.modified, s_.theirs.At("/a").object.attributes.modified);
  EXPECT_EQ(r.tree.Content("/a"), "patched");
  EXPECT_EQ(r.Entry("/a").severity, Severity::kInfo);
}

TEST_F(Planner, AttributeConflictTakesOursAndTells) {
  s_.ours.Attributes("/a").mode = 0600;
  s_.theirs.Attributes("/a").mode = 0640;
  RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.At("/a").object.attributes.mode, 0600u);
  EXPECT_EQ(r.Entry("/a").severity, Severity::kWarn);
  EXPECT_THAT(r.Entry("/a").detail, HasSubstr("mode"));
  r = s_.Rebase("/a meta=theirs\n");
  EXPECT_EQ(r.tree.At("/a").object.attributes.mode, 0640u);
  EXPECT_EQ(r.Entry("/a").severity, Severity::kInfo);
}

TEST_F(Planner, TimesAreThoseThatTheNewMasterStores) {
  s_.theirs.KeepWholeSeconds();
  s_.ours.Write("/a", "ours");
  s_.ours.Attributes("/a").modified = {1234, 5678};
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.At("/a").object.attributes.modified, (guest::Timestamp{1234, 0}));
  EXPECT_EQ(r.Entry("/a").severity, Severity::kInfo);
}

TEST_F(Planner, RootDirectoryAttributes) {
  s_.ours.Attributes("/").mode = 0711;
  const RebaseResult r = s_.Rebase();
  EXPECT_EQ(r.tree.At("/").object.attributes.mode, 0711u);
}

// --- Rules for what only ours changed

TEST_F(Planner, DropAndRegenerate) {
  s_.base.MakeParents("/var/cache/x");
  s_.base.Write("/var/cache/x", "base");
  s_.Branch();
  s_.ours.Write("/var/cache/x", "ours");
  s_.ours.Write("/var/cache/new", "new");
  s_.ours.Mkdir("/var/cache/dir");
  s_.ours.Write("/var/cache/dir/f", "f");
  const RebaseResult r = s_.Rebase(
      "/var/cache/** one=drop sev=info\n/var/cache/**/ one=normal\n"
      "/var/cache/x one=regen\n");
  EXPECT_EQ(r.tree.Content("/var/cache/x"), "base");
  EXPECT_FALSE(r.tree.Has("/var/cache/new"));
  EXPECT_TRUE(r.tree.Has("/var/cache/dir"));
  EXPECT_FALSE(r.tree.Has("/var/cache/dir/f"));
  EXPECT_EQ(r.Entry("/var/cache/new").action, Action::kDropped);
  EXPECT_EQ(r.Entry("/var/cache/x").action, Action::kRegenerated);
  EXPECT_THAT(r.outcome.regenerate, testing::ElementsAre("/var/cache/x"));
}

}  // namespace
}  // namespace mica::rebase
