// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tools/guest/ext4/apply_and_verify.h"
#include "tools/guest/ext4/apply_test_support.h"
#include "tools/guest/ext4/diff_test_changes.h"
#include "tools/guest/ext4/diff_test_support.h"
#include "tools/guest/walk.h"

namespace mica::guest {
namespace {

using testing::CopyImage;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::OpenVolume;
using testing::Shell;
using ::testing::SizeIs;

PlannedName In(uint64_t directory, std::string leaf) {
  return {{DirectoryRef::Kind::kTargetInode, directory}, std::move(leaf)};
}
PlannedName InPlanned(uint64_t object, std::string leaf) {
  return {{DirectoryRef::Kind::kPlannedObject, object}, std::move(leaf)};
}

class ApplyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    master_ = folder_.Path("master");
    result_ = folder_.Path("result");
    vm_ = folder_.Path("vm");
    const std::string tree = folder_.Path("tree");
    Shell(
        fmt::format("mkdir -p {0}/a/b {0}/c && echo one > {0}/a/one && echo two > {0}/a/b/two && "
                    "head -c 300000 /dev/urandom > {0}/blob && ln -s target {0}/link",
                    tree));
    Shell(fmt::format("mke2fs -q -t ext4 -b 4096 -d {} {} 16M", tree, master_));
    Shell(
        fmt::format("cd {0} && rm blob && head -c 700000 /dev/urandom > big && "
                    "mke2fs -q -t ext4 -b 4096 -d {0} {1} 16M",
                    tree, vm_));
    CopyImage(master_, result_);
  }

  // The object of the master at a path as it is, to be changed by the test.
  PlannedObject Existing(std::string_view path) {
    PlannedObject planned;
    const auto image = OpenVolume(master_);
    const uint64_t inode = InodeIn(master_, path);
    const auto object = image->volume->Stat(inode);
    planned.target_inode = inode;
    planned.kind = object->kind;
    planned.attributes = object->attributes;
    planned.symlink_target = object->symlink_target;
    return planned;
  }

  static uint64_t InodeIn(const std::string& path_of_image, std::string_view path) {
    const auto image = OpenVolume(path_of_image);
    const auto inode = LookupPath(*image->volume, path);
    EXPECT_TRUE(inode && *inode) << path;
    return inode && *inode ? **inode : 0;
  }

  std::vector<std::string> ListResult(std::string_view path) {
    const auto image = OpenVolume(result_);
    const auto inode = LookupPath(*image->volume, path);
    std::vector<std::string> names;
    const auto entries = image->volume->List(**inode);
    for (const DirectoryEntry& entry : *entries) names.push_back(entry.name);
    return names;
  }

  Error MustFail(const Plan& plan, const ApplyOptions& options = {.now = {1'700'000'000, 0}}) {
    const auto target = OpenVolume(result_, Ext4Access::kReadWrite);
    const auto ours = OpenVolume(vm_);
    const auto index = BuildIndex(target->volume->fs(), target->volume->io());
    const auto done = ApplyPlan({plan, *target->volume, *index, *ours->volume}, options);
    EXPECT_FALSE(done);
    return done ? Error{Errc::kIo, ""} : done.error();
  }

  testing::ScratchFolder folder_;
  std::string master_;
  std::string result_;
  std::string vm_;
};

TEST_F(ApplyTest, NamesMaySwap) {
  Plan plan{{Existing("/a/one"), Existing("/a/b/two")}};
  plan.objects[0].names = {In(InodeIn(master_, "/a/b"), "two")};
  plan.objects[1].names = {In(InodeIn(master_, "/a"), "one")};
  testing::ApplyAndVerify(plan, master_, result_, vm_);
  EXPECT_EQ(InodeIn(result_, "/a/one"), *plan.objects[1].target_inode);
  EXPECT_THAT(ListResult("/"), ElementsAre("a", "blob", "c", "link", "lost+found"));
}

TEST_F(ApplyTest, DirectoriesMaySwapWithTheirChildren) {
  // /a/b becomes /a, and the old /a becomes its child.
  Plan plan{{Existing("/a"), Existing("/a/b")}};
  plan.objects[0].names = {InPlanned(1, "old")};
  plan.objects[1].names = {In(EXT2_ROOT_INO, "a")};
  testing::ApplyAndVerify(plan, master_, result_, vm_);
  EXPECT_THAT(ListResult("/a"), ElementsAre("old", "two"));
  EXPECT_THAT(ListResult("/a/old"), ElementsAre("one"));
}

TEST_F(ApplyTest, ATreeIsDeletedWhateverTheOrderOfThePlan) {
  Plan plan{{Existing("/a"), Existing("/a/b"), Existing("/a/one"), Existing("/a/b/two")}};
  testing::ApplyAndVerify(plan, master_, result_, vm_);
  EXPECT_THAT(ListResult("/"), ElementsAre("blob", "c", "link", "lost+found"));
}

TEST_F(ApplyTest, AWriteIntoPreallocatedBlocksLeavesTheRestOfThemUnwritten) {
  // Only unwritten blocks may lie beyond the end of a file.
  if (::geteuid() != 0) GTEST_SKIP() << "NOT TESTED: loop mounts need root";
  const std::string grown = folder_.Path("grown");
  Shell(fmt::format("yes 0123456 | head -c 6000 > {}", grown));
  testing::Debugfs(vm_, fmt::format("cd a\nrm one\nwrite {} one", grown));
  {
    const testing::LoopMount mount(master_, folder_.Path("mnt"));
    ASSERT_TRUE(mount.mounted());
    const std::string file = mount.path() + "/a/one";
    Shell(fmt::format("head -c 4096 {} > {} && fallocate -n -l 32768 {}", grown, file, file));
  }
  CopyImage(master_, result_);
  Plan plan{{Existing("/a/one")}};
  plan.objects[0].names = {In(InodeIn(master_, "/a"), "one")};
  plan.objects[0].content = OursContent{InodeIn(vm_, "/a/one"), {{ByteRange{4096, 1904}}}};
  testing::ApplyAndVerify(plan, master_, result_, vm_);
}

TEST_F(ApplyTest, TheNumberOfADeletedDirectoryMayBecomeThatOfAnAttribute) {
  const std::string tree = folder_.Path("deep");
  Shell(fmt::format("mkdir -p {0}/b/d && echo 1 > {0}/b/d/file", tree));
  Shell(fmt::format("mke2fs -q -t ext4 -b 4096 -O ea_inode -d {} {} 16M", tree, master_));
  CopyImage(master_, result_);
  PlannedObject file;
  file.attributes.mode = 0640;
  file.attributes.xattrs["user.long"] = std::string(9000, 'x');
  file.names = {In(EXT2_ROOT_INO, "new")};
  Plan plan{{Existing("/b"), Existing("/b/d"), Existing("/b/d/file"), file}};
  testing::ApplyAndVerify(plan, master_, result_, vm_);
}

TEST_F(ApplyTest, NewDirectoriesAreMadeFromTheTop) {
  PlannedObject directory;
  directory.kind = ObjectKind::kDirectory;
  directory.attributes.mode = 0750;
  PlannedObject file;
  file.attributes.mode = 0640;
  file.attributes.xattrs["user.note"] = "kept";
  file.content = MergedContent{"merged\n"};
  Plan plan{{file, directory, directory, Existing("/a/one")}};
  plan.objects[0].names = {InPlanned(1, "file"), In(EXT2_ROOT_INO, "second name")};
  plan.objects[1].names = {InPlanned(2, "inner")};
  plan.objects[2].names = {In(InodeIn(master_, "/c"), "outer")};
  plan.objects[3].names = {InPlanned(1, "moved here")};
  testing::ApplyAndVerify(plan, master_, result_, vm_);
  EXPECT_THAT(ListResult("/c/outer/inner"), ElementsAre("file", "moved here"));
  EXPECT_EQ(InodeIn(result_, "/second name"), InodeIn(result_, "/c/outer/inner/file"));
}

TEST_F(ApplyTest, ANameIsFreeForAnotherKind) {
  PlannedObject link;
  link.kind = ObjectKind::kSymlink;
  link.symlink_target = std::string(200, 't');
  link.attributes.mode = 0777;
  link.names = {In(EXT2_ROOT_INO, "blob")};
  PlannedObject retargeted = Existing("/link");
  retargeted.names = {In(EXT2_ROOT_INO, "link")};
  retargeted.symlink_target = "elsewhere";
  Plan plan{{Existing("/blob"), link, retargeted}};
  testing::ApplyAndVerify(plan, master_, result_, vm_);
  const auto image = OpenVolume(result_);
  EXPECT_EQ(image->volume->Stat(InodeIn(result_, "/link"))->symlink_target, "elsewhere");
}

TEST_F(ApplyTest, ProgressEndsComplete) {
  PlannedObject file;
  file.content = OursContent{InodeIn(vm_, "/big"), std::nullopt};
  file.names = {In(EXT2_ROOT_INO, "big")};
  const Plan plan{{file, Existing("/blob")}};
  const auto target = OpenVolume(result_, Ext4Access::kReadWrite);
  const auto ours = OpenVolume(vm_);
  const auto index = BuildIndex(target->volume->fs(), target->volume->io());
  ApplyProgress last;
  const auto done = ApplyPlan({plan, *target->volume, *index, *ours->volume},
                              {.progress = [&](const ApplyProgress& now) { last = now; }});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->bytes_written, 700000U);
  EXPECT_EQ(last.objects_done, 2U);
  EXPECT_EQ(last.objects_total, 2U);
  EXPECT_EQ(last.bytes_done, last.bytes_total);
}

TEST_F(ApplyTest, CanBeCancelled) {
  const std::atomic<bool> cancelled{true};
  Plan plan{{Existing("/a/one")}};
  plan.objects[0].names = {In(EXT2_ROOT_INO, "one")};
  EXPECT_EQ(MustFail(plan, {.cancelled = &cancelled}).code, Errc::kCancelled);
}

TEST_F(ApplyTest, AFullVolumeIsSaid) {
  PlannedObject file;
  file.content = MergedContent{std::string(size_t{20} << 20, 'x')};
  file.names = {In(EXT2_ROOT_INO, "too big")};
  const Error error = MustFail({{file}});
  EXPECT_EQ(error.code, Errc::kNoSpace) << error.message;
}

TEST_F(ApplyTest, RefusesPlansThatContradictThemselves) {
  PlannedObject directory;
  directory.kind = ObjectKind::kDirectory;
  directory.names = {InPlanned(1, "x")};
  Plan loop{{directory, directory}};
  loop.objects[1].names = {InPlanned(0, "y")};
  EXPECT_THAT(MustFail(loop).message, HasSubstr("loop"));

  Plan not_empty{{Existing("/a")}};
  EXPECT_EQ(MustFail(not_empty).code, Errc::kInvalidArgument);

  Plan nowhere{{Existing("/a/one")}};
  nowhere.objects[0].names = {InPlanned(7, "x")};
  EXPECT_EQ(MustFail(nowhere).code, Errc::kInvalidArgument);
}

// What an applier with a mistake would leave behind must be seen.
class VerifyTest : public ApplyTest {
 protected:
  // Applies `plan`, then has debugfs change the result.
  std::vector<Discrepancy> VerifyAfter(const Plan& plan, const std::string& debugfs) {
    const ApplyResult applied = testing::ApplyAndVerify(plan, master_, result_, vm_);
    testing::Debugfs(result_, debugfs);
    const auto master = OpenVolume(master_);
    const auto finished = OpenVolume(result_);
    const auto ours = OpenVolume(vm_);
    const auto index = BuildIndex(master->volume->fs(), master->volume->io());
    auto found = VerifyResult({plan, applied, *master->volume, *index, *finished->volume,
                               testing::DifferingBlocks(master_, result_), *ours->volume});
    EXPECT_TRUE(found) << found.error().message;
    return found ? std::move(*found) : std::vector<Discrepancy>{};
  }

  Plan PlanOfOneFile() {
    PlannedObject file;
    file.content = OursContent{InodeIn(vm_, "/big"), std::nullopt};
    file.attributes.mode = 0644;
    file.names = {In(EXT2_ROOT_INO, "big")};
    return {{file, Existing("/blob")}};
  }
};

TEST_F(VerifyTest, SeesAChangeThatWasNotPlanned) {
  const auto found = VerifyAfter(PlanOfOneFile(), "sif /a/one mode 0100600");
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].path, "/a/one");
}

TEST_F(VerifyTest, SeesAWrongAttribute) {
  const auto found = VerifyAfter(PlanOfOneFile(), "sif /big mode 0100600");
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_THAT(found[0].what, HasSubstr("mode"));
}

TEST_F(VerifyTest, SeesAMissingFileAndAWrongName) {
  EXPECT_THAT(VerifyAfter(PlanOfOneFile(), "link /big /other\nunlink /big"), SizeIs(1));
}

TEST_F(VerifyTest, SeesWrongContent) {
  const auto found = VerifyAfter(PlanOfOneFile(), "sif /big size 600000");
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_THAT(found[0].what, HasSubstr("600000 bytes instead of 700000"));
}

TEST_F(VerifyTest, SeesADeletionUndone) {
  EXPECT_THAT(VerifyAfter(PlanOfOneFile(), "rm /c/none"), IsEmpty());
  const auto master = OpenVolume(master_);
  const auto same = OpenVolume(master_);
  const auto ours = OpenVolume(vm_);
  const auto index = BuildIndex(master->volume->fs(), master->volume->io());
  const Plan plan{{Existing("/blob")}};
  const ApplyResult applied{.inodes = {0}};
  const auto found =
      VerifyResult({plan, applied, *master->volume, *index, *same->volume, {}, *ours->volume});
  ASSERT_TRUE(found);
  EXPECT_THAT(*found, SizeIs(1));
}

}  // namespace
}  // namespace mica::guest
