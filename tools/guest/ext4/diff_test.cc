// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/diff.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/guest/ext4/diff_test_support.h"
#include "tools/guest/walk.h"

namespace mica::guest {
namespace {

using testing::CopyImage;
using testing::Debugfs;
using testing::Describe;
using testing::DifferingBlocks;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::OpenVolume;
using testing::Shell;
using ::testing::SizeIs;
using testing::WriteAt;

// A master and a copy of it to be changed; both ways of comparing must agree on every change.
class DiffTest : public ::testing::Test {
 protected:
  void SetUp() override {
    before_ = folder_.Path("before");
    after_ = folder_.Path("after");
    const std::string tree = folder_.Path("tree");
    Shell(
        fmt::format("mkdir -p {0}/etc/deep {0}/many && echo one > {0}/etc/one && ln {0}/etc/one "
                    "{0}/etc/deep/two "
                    "&& ln -s $(printf 'x%.0s' $(seq 100)) {0}/long && head -c 300000 /dev/urandom "
                    "> {0}/blob && "
                    "for i in $(seq 50); do echo $i > {0}/many/$i; done",
                    tree));
    Shell(fmt::format("mke2fs -q -t ext4 -b 4096 -d {} {} 32M", tree, before_));
    CopyImage(before_, after_);
  }

  ChangeSet Compare(std::vector<ByteRange> touched) {
    const auto before = OpenVolume(before_);
    const auto after = OpenVolume(after_);
    if (!before->volume || !after->volume) return {};
    const auto index = BuildIndex(before->volume->fs(), before->volume->io());
    EXPECT_TRUE(index);
    auto changes = DiffVolumes({*before->volume, *index, *after->volume, std::move(touched)});
    EXPECT_TRUE(changes) << changes.error().message;
    const auto walked = WalkVolumes(*before->volume, *after->volume, {});
    EXPECT_TRUE(walked) << walked.error().message;
    if (!changes || !walked) return {};
    EXPECT_EQ(Describe(*changes), Describe(walked->changes));
    return std::move(*changes);
  }
  ChangeSet Compare() { return Compare(DifferingBlocks(before_, after_)); }

  // The first block of a file's content in the image, in bytes.
  uint64_t ContentOffset(std::string_view path) {
    const auto image = OpenVolume(before_);
    const auto inode = LookupPath(*image->volume, path);
    const auto raw = image->volume->Inode(inode->value());
    const auto map = MapInode(image->volume->fs(), image->volume->io(), *raw);
    return map->extents.at(0).physical * image->volume->fs()->blocksize;
  }

  testing::ScratchFolder folder_;
  std::string before_;
  std::string after_;
};

TEST_F(DiffTest, NothingTouchedNothingChanged) {
  EXPECT_THAT(Compare().objects, IsEmpty());
}

TEST_F(DiffTest, BlocksRewrittenWithTheSameBytesAreNoChange) {
  EXPECT_THAT(Compare({{0, uint64_t{32} << 20}}).objects, IsEmpty());
}

TEST_F(DiffTest, FindsContentOverwrittenWithoutAChangeOfTheInode) {
  WriteAt(after_, ContentOffset("/blob") + 8192 + 5, AsBytes("patched in place"));
  const ChangeSet changes = Compare();
  ASSERT_THAT(changes.objects, SizeIs(1));
  EXPECT_EQ(changes.objects[0].names_after.at(0).path, "/blob");
  EXPECT_TRUE(changes.objects[0].content_changed);
  EXPECT_FALSE(changes.objects[0].attributes_changed);
  EXPECT_THAT(changes.objects[0].content_ranges, ElementsAre(ByteRange{8192, 4096}));
}

TEST_F(DiffTest, FindsTheTargetOfALongSymlinkOverwrittenInPlace) {
  WriteAt(after_, ContentOffset("/long"), AsBytes("yyy"));
  const ChangeSet changes = Compare();
  ASSERT_THAT(changes.objects, SizeIs(1));
  EXPECT_TRUE(changes.objects[0].content_changed);
  EXPECT_EQ(changes.objects[0].after->symlink_target.substr(0, 4), "yyyx");
}

TEST_F(DiffTest, AccessAndChangeTimesAreNoise) {
  Debugfs(after_, "sif /blob atime 20300101\nsif /blob ctime 20300101\nsif /etc atime 20300101");
  EXPECT_THAT(Compare().objects, IsEmpty());
}

TEST_F(DiffTest, AModeIsAnAttribute) {
  Debugfs(after_, "sif /blob mode 0100600");
  const ChangeSet changes = Compare();
  ASSERT_THAT(changes.objects, SizeIs(1));
  EXPECT_TRUE(changes.objects[0].attributes_changed);
  EXPECT_FALSE(changes.objects[0].content_changed);
  EXPECT_EQ(changes.objects[0].after->attributes.mode, 0600U);
}

TEST_F(DiffTest, ExtendedAttributesInTheInodeAndInABlock) {
  Debugfs(after_, fmt::format("ea_set /blob user.small v\nea_set /etc/one user.big {}",
                              std::string(900, 'b')));
  const ChangeSet changes = Compare();
  ASSERT_THAT(changes.objects, SizeIs(2));
  for (const ChangedObject& object : changes.objects) EXPECT_TRUE(object.attributes_changed);
}

TEST_F(DiffTest, AMovedDirectoryIsOneEntry) {
  Debugfs(after_, "link /many /etc/moved\nunlink /many");
  const ChangeSet changes = Compare();
  ASSERT_THAT(changes.objects, SizeIs(1));
  EXPECT_TRUE(changes.objects[0].names_changed());
  EXPECT_FALSE(changes.objects[0].attributes_changed);
  EXPECT_EQ(changes.objects[0].names_before.at(0).path, "/many");
  EXPECT_EQ(changes.objects[0].names_after.at(0).path, "/etc/moved");
}

TEST_F(DiffTest, AChangedChildOfAMovedDirectoryKeepsItsName) {
  Debugfs(after_, "link /many /etc/moved\nunlink /many\nsif /etc/moved/7 mode 0100600");
  const ChangeSet changes = Compare();
  ASSERT_THAT(changes.objects, SizeIs(2));
  const auto& child = changes.objects[0].after->kind == ObjectKind::kRegular ? changes.objects[0]
                                                                             : changes.objects[1];
  EXPECT_FALSE(child.names_changed());
  EXPECT_EQ(child.names_before.at(0).path, "/many/7");
  EXPECT_EQ(child.names_after.at(0).path, "/etc/moved/7");
}

TEST_F(DiffTest, AHardLinkIsAnotherNameOfOneObject) {
  Debugfs(after_, "link /etc/one /third\nsif /etc/one links_count 3");
  const ChangeSet changes = Compare();
  ASSERT_THAT(changes.objects, SizeIs(1));
  EXPECT_THAT(changes.objects[0].names_before, SizeIs(2));
  ASSERT_THAT(changes.objects[0].names_after, SizeIs(3));
  EXPECT_EQ(changes.objects[0].names_after[2].path, "/third");
}

TEST_F(DiffTest, CreatedAndDeletedAndReplaced) {
  Debugfs(
      after_,
      "rm /many/3\nrm /many/4\ncd /many\nwrite /etc/hostname 4\nsif 4 generation 77\nmkdir /new");
  const ChangeSet changes = Compare();
  size_t created = 0;
  size_t deleted = 0;
  for (const ChangedObject& object : changes.objects) {
    created += object.before ? 0 : 1;
    deleted += object.after ? 0 : 1;
  }
  EXPECT_EQ(created, 2U);
  EXPECT_EQ(deleted, 2U);
  EXPECT_THAT(changes.objects, SizeIs(4));
}

TEST_F(DiffTest, AnEntryOfAFreeInodeIsDamage) {
  Debugfs(after_, "clri /many/9");
  const auto before = OpenVolume(before_);
  const auto after = OpenVolume(after_);
  const auto index = BuildIndex(before->volume->fs(), before->volume->io());
  const auto changes =
      DiffVolumes({*before->volume, *index, *after->volume, DifferingBlocks(before_, after_)});
  ASSERT_FALSE(changes);
  EXPECT_EQ(changes.error().code, Errc::kCorrupt);
}

TEST_F(DiffTest, RefusesAVolumeOfAnotherLayout) {
  Shell(fmt::format("mke2fs -q -F -t ext4 -b 1024 {} 32M", after_));
  const auto before = OpenVolume(before_);
  const auto after = OpenVolume(after_);
  const auto index = BuildIndex(before->volume->fs(), before->volume->io());
  const auto changes = DiffVolumes({*before->volume, *index, *after->volume, {}});
  ASSERT_FALSE(changes);
  EXPECT_EQ(changes.error().code, Errc::kMismatch) << changes.error().message;
}

TEST_F(DiffTest, MatchedByPathTheSameTreeElsewhereIsNoChange) {
  Shell(fmt::format("mke2fs -q -F -t ext4 -b 1024 -d {} {} 48M", folder_.Path("tree"), after_));
  const auto before = OpenVolume(before_);
  const auto after = OpenVolume(after_);
  const auto walked = WalkVolumes(*before->volume, *after->volume, {.match = MatchBy::kPath});
  ASSERT_TRUE(walked) << walked.error().message;
  // What mke2fs made itself has the time of making.
  for (const ChangedObject& object : walked->changes.objects) {
    EXPECT_THAT(object.names_after.at(0).path, ::testing::AnyOf("/", "/lost+found"));
  }
  EXPECT_THAT(walked->matched, SizeIs(1 + 57));
}

TEST_F(DiffTest, MatchedByPathFindsContentAndNames) {
  Shell(fmt::format("cd {} && echo changed > many/5 && mv many/6 many/six && rm many/7",
                    folder_.Path("tree")));
  Shell(fmt::format("mke2fs -q -F -t ext4 -b 4096 -d {} {} 48M", folder_.Path("tree"), after_));
  const auto before = OpenVolume(before_);
  const auto after = OpenVolume(after_);
  const auto walked = WalkVolumes(*before->volume, *after->volume, {.match = MatchBy::kPath});
  ASSERT_TRUE(walked) << walked.error().message;
  std::set<std::string> seen;
  for (const ChangedObject& object : walked->changes.objects) {
    if (object.before && !object.after) seen.insert("-" + object.names_before.at(0).path);
    if (!object.before) seen.insert("+" + object.names_after.at(0).path);
    if (object.content_changed) seen.insert("*" + object.names_after.at(0).path);
  }
  EXPECT_THAT(seen, ElementsAre("*/many/5", "+/many/six", "-/many/6", "-/many/7"));
}

}  // namespace
}  // namespace mica::guest
