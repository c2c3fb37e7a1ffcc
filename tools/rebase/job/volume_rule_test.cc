// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/volume_rule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mica::rebase {
namespace {

using guest::VolumeKind;
using testing::HasSubstr;
using testing::Not;

enum class Who : uint8_t { kNobody, kOurs, kTheirs, kBoth };

VolumeSides Of(VolumeKind kind, Who changed) {
  VolumeSides sides;
  sides.name = "partition 3";
  sides.base = sides.ours = kind;
  sides.theirs = kind;
  sides.ours_changed = changed == Who::kOurs || changed == Who::kBoth;
  sides.theirs_changed = changed == Who::kTheirs || changed == Who::kBoth;
  return sides;
}

std::string RefusalOf(const VolumeSides& sides) {
  const Result<VolumeRuling> ruling = RuleVolume(sides);
  if (ruling) return "not refused";
  EXPECT_EQ(ruling.error().code, Errc::kUnsupported);
  return ruling.error().message;
}

TEST(VolumeRule, WhatTheVmDidNotTouchIsTheMasters) {
  for (int kind = 0; kind <= static_cast<int>(VolumeKind::kOutside); ++kind) {
    if (static_cast<VolumeKind>(kind) == VolumeKind::kHibernation) continue;
    const auto ruling = RuleVolume(Of(static_cast<VolumeKind>(kind), Who::kTheirs));
    ASSERT_TRUE(ruling) << kind;
    EXPECT_EQ(ruling->fate, VolumeFate::kTheirs);
    EXPECT_FALSE(ruling->entry);
  }
}

TEST(VolumeRule, ExtFileSystemsAreMerged) {
  const auto ruling = RuleVolume(Of(VolumeKind::kExt, Who::kBoth));
  ASSERT_TRUE(ruling);
  EXPECT_EQ(ruling->fate, VolumeFate::kMerge);
  EXPECT_FALSE(ruling->entry);
}

TEST(VolumeRule, ExtOnOneSideOnlyGoesByBlocks) {
  VolumeSides formatted = Of(VolumeKind::kExt, Who::kOurs);
  formatted.base = VolumeKind::kEmpty;
  formatted.theirs = VolumeKind::kEmpty;
  EXPECT_EQ(RuleVolume(formatted)->fate, VolumeFate::kCarry);
  formatted.theirs = VolumeKind::kXfs;
  formatted.theirs_changed = true;
  EXPECT_THAT(RefusalOf(formatted), HasSubstr("expected an ext file system on all three disks"));
  VolumeSides destroyed = Of(VolumeKind::kExt, Who::kBoth);
  destroyed.ours = VolumeKind::kUnknown;
  EXPECT_THAT(RefusalOf(destroyed), HasSubstr("something unknown in the VM"));
}

TEST(VolumeRule, WhatTheVmAloneChangedIsCarriedWhole) {
  for (const VolumeKind kind :
       {VolumeKind::kUnknown, VolumeKind::kEmpty, VolumeKind::kFat, VolumeKind::kNtfs,
        VolumeKind::kXfs, VolumeKind::kBtrfs, VolumeKind::kOutside}) {
    const auto ruling = RuleVolume(Of(kind, Who::kOurs));
    ASSERT_TRUE(ruling);
    EXPECT_EQ(ruling->fate, VolumeFate::kCarry);
    ASSERT_TRUE(ruling->entry);
    EXPECT_EQ(ruling->entry->action, Action::kCarried);
    EXPECT_EQ(ruling->entry->severity, Severity::kInfo);
    EXPECT_EQ(ruling->entry->topic, Topic::kVolume);
  }
}

TEST(VolumeRule, WhatBothChangedIsNeverMixed) {
  const std::pair<VolumeKind, Severity> rows[] = {{VolumeKind::kFat, Severity::kWarn},
                                                  {VolumeKind::kOutside, Severity::kWarn},
                                                  {VolumeKind::kUnknown, Severity::kError},
                                                  {VolumeKind::kEmpty, Severity::kError}};
  for (const auto& [kind, severity] : rows) {
    const auto ruling = RuleVolume(Of(kind, Who::kBoth));
    ASSERT_TRUE(ruling);
    EXPECT_EQ(ruling->fate, VolumeFate::kTheirs);
    ASSERT_TRUE(ruling->entry);
    EXPECT_EQ(ruling->entry->action, Action::kTheirs);
    EXPECT_EQ(ruling->entry->severity, severity);
    EXPECT_THAT(ruling->entry->detail, HasSubstr("old delta, which is kept"));
  }
  for (const VolumeKind kind : {VolumeKind::kNtfs, VolumeKind::kXfs, VolumeKind::kBtrfs,
                                VolumeKind::kRaid, VolumeKind::kLvm}) {
    VolumeSides sides = Of(kind, Who::kBoth);
    sides.note = "vg0/pool is a thin pool";
    EXPECT_THAT(RefusalOf(sides), HasSubstr(guest::VolumeKindName(kind)));
    EXPECT_THAT(RefusalOf(sides), HasSubstr("(vg0/pool is a thin pool)"));
  }
}

TEST(VolumeRule, WhatTheKernelMayMountIsMerged) {
  for (const VolumeKind kind : {VolumeKind::kXfs, VolumeKind::kBtrfs}) {
    for (const Who who : {Who::kOurs, Who::kBoth}) {
      VolumeSides sides = Of(kind, who);
      sides.mountable = true;
      EXPECT_EQ(RuleVolume(sides)->fate, VolumeFate::kMerge);
      sides.theirs = VolumeKind::kExt;
      sides.theirs_changed = true;
      EXPECT_THAT(RefusalOf(sides), HasSubstr("partition 3"));
    }
  }
  EXPECT_THAT(RefusalOf(Of(VolumeKind::kXfs, Who::kBoth)), HasSubstr("--mount-volumes xfs"));
  EXPECT_THAT(RefusalOf(Of(VolumeKind::kNtfs, Who::kBoth)), Not(HasSubstr("--mount-volumes")));
}

TEST(VolumeRule, WhatTheVmDidToFatFilesIsNamed) {
  VolumeSides sides = Of(VolumeKind::kFat, Who::kBoth);
  sides.our_files = std::vector<std::string>(30, "added /x");
  EXPECT_THAT(RuleVolume(sides)->entry->detail, HasSubstr("the VM added /x, added /x"));
  EXPECT_THAT(RuleVolume(sides)->entry->detail, HasSubstr("and 10 more"));
  sides.our_files->clear();
  const auto ruling = RuleVolume(sides);
  EXPECT_EQ(ruling->fate, VolumeFate::kTheirs);
  EXPECT_EQ(ruling->entry->action, Action::kDropped);
  EXPECT_EQ(ruling->entry->severity, Severity::kNotice);
}

TEST(VolumeRule, SwapIsDroppedUnlessTheVmMadeIt) {
  const auto ruling = RuleVolume(Of(VolumeKind::kSwap, Who::kBoth));
  ASSERT_TRUE(ruling);
  EXPECT_EQ(ruling->fate, VolumeFate::kTheirs);
  EXPECT_EQ(ruling->entry->action, Action::kDropped);
  EXPECT_EQ(ruling->entry->severity, Severity::kNotice);
  VolumeSides made = Of(VolumeKind::kSwap, Who::kOurs);
  made.base = VolumeKind::kEmpty;
  EXPECT_EQ(RuleVolume(made)->fate, VolumeFate::kCarry);
}

TEST(VolumeRule, HibernatedSystemsAreRefused) {
  VolumeSides ours = Of(VolumeKind::kSwap, Who::kOurs);
  ours.ours = VolumeKind::kHibernation;
  EXPECT_THAT(RefusalOf(ours), HasSubstr("partition 3 holds a hibernated system"));
  VolumeSides theirs = Of(VolumeKind::kSwap, Who::kTheirs);
  theirs.theirs = VolumeKind::kHibernation;
  EXPECT_THAT(RefusalOf(theirs), HasSubstr("new master holds a hibernated system"));
}

TEST(VolumeRule, EncryptedVolumesAreRefusedWhenTheVmChangedThem) {
  for (const VolumeKind kind : {VolumeKind::kLuks, VolumeKind::kBitLocker}) {
    EXPECT_THAT(RefusalOf(Of(kind, Who::kOurs)), HasSubstr("without its key"));
  }
}

TEST(VolumeRule, AVolumeThatThePatchRemovedIsRefused) {
  VolumeSides sides = Of(VolumeKind::kUnknown, Who::kBoth);
  sides.theirs.reset();
  EXPECT_THAT(RefusalOf(sides), HasSubstr("the new master does not have"));
}

}  // namespace
}  // namespace mica::rebase
