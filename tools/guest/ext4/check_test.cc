// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/check.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>

#include "engine/base/prng.h"
#include "tools/guest/ext4/writer_test_support.h"
#include "tools/guest/overlay_device.h"

namespace mica::guest::testing {
namespace {

// A tree with something of everything, so that there is metadata of every form to copy.
void Populate(const std::string& image) {
  WriteSession session(image);
  const auto folder =
      session.writer().Create({EXT2_ROOT_INO, "many"}, MakeNew(ObjectKind::kDirectory, 0755));
  ASSERT_TRUE(folder) << folder.error().message;
  for (int i = 0; i < 400; ++i) {
    WriteFile(session.writer(), {*folder, fmt::format("file-with-a-rather-long-name-{}", i)},
              "content");
  }
  NewObject link = MakeNew(ObjectKind::kSymlink, 0777);
  link.symlink_target = std::string(200, 'x');
  ASSERT_TRUE(session.writer().Create({EXT2_ROOT_INO, "slow"}, link));
  NewObject attributed = MakeNew(ObjectKind::kRegular);
  attributed.attributes.xattrs["user.long"] = std::string(600, 'v');
  const auto sparse = session.writer().Create({EXT2_ROOT_INO, "sparse"}, attributed);
  ASSERT_TRUE(sparse) << sparse.error().message;
  auto file = session.writer().OpenFile(*sparse);
  ASSERT_TRUE(file);
  for (uint64_t i = 0; i < 400; ++i) ASSERT_TRUE(file->Write(i * 65536, AsBytes(Pattern(i, 100))));
  ASSERT_TRUE(file->Finish());
  session.Finish();
}

bool FullVerdict(const std::string& image) {
  return OutputOf(fmt::format("e2fsck -fn {}; echo status=$?", image)).find("status=0") !=
         std::string::npos;
}

class CheckTest : public ::testing::TestWithParam<MkfsVariant> {
 protected:
  void SetUp() override {
    image_ = scratch_.Path("fs.img");
    MakeFs(image_, GetParam());
    Populate(image_);
  }
  ScratchFolder scratch_;
  std::string image_;
};

TEST_P(CheckTest, AgreesOnACleanVolumeAndReadsOnlyMetadata) {
  MemoryLoop loop;
  FileDevice device(image_);
  SyncDevice sync(loop, device);
  const auto report = CheckExt4(sync, {});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_TRUE(report->clean) << report->text;
  EXPECT_LT(report->bytes_copied, device.info().size / 2);
  EXPECT_NE(report->text.find("volume:"), std::string::npos) << report->text;
}

TEST_P(CheckTest, AgreesOnDamage) {
  const uint64_t seed = 1;
  SCOPED_TRACE(fmt::format("seed {}", seed));
  Prng prng(seed);
  MemoryLoop loop;
  FileDevice device(image_);
  const std::string damaged = scratch_.Path("damaged.img");
  int not_clean = 0;
  for (int round = 0; round < 6; ++round) {
    CopyImage(image_, damaged);
    FileDevice copy(damaged);
    SyncDevice sync(loop, copy);
    // Somewhere in the first megabyte: descriptors, bitmaps, inode tables, the first directories.
    const uint64_t at = 2048 + prng.Below(1 << 20);
    const std::byte value[] = {static_cast<std::byte>(prng.Next()),
                               static_cast<std::byte>(prng.Next())};
    ASSERT_TRUE(sync.Write(at, value));
    const auto report = CheckExt4(sync, {});
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->clean, FullVerdict(damaged)) << "byte " << at << "\n" << report->text;
    if (!report->clean) ++not_clean;
  }
  RecordProperty("not_clean", not_clean);
}

INSTANTIATE_TEST_SUITE_P(All, CheckTest, ::testing::ValuesIn(AllVariants()),
                         [](const auto& test) { return test.param.name; });

TEST(Check, DeliberateDamageIsNamed) {
  ScratchFolder scratch;
  const std::string image = scratch.Path("fs.img");
  MakeFs(image, AllVariants().front());
  Populate(image);
  Debugfs(image, "clri /slow");
  MemoryLoop loop;
  FileDevice device(image);
  SyncDevice sync(loop, device);
  const auto report = CheckExt4(sync, {});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_FALSE(report->clean);
  EXPECT_NE(report->text.find("slow"), std::string::npos) << report->text;
  EXPECT_FALSE(FullVerdict(image));
}

TEST(Check, WhatIsNoFileSystemIsNotClean) {
  ScratchFolder scratch;
  std::ofstream(scratch.Path("zero"), std::ios::binary) << std::string(1 << 20, '\0');
  MemoryLoop loop;
  FileDevice device(scratch.Path("zero"));
  SyncDevice sync(loop, device);
  const auto report = CheckExt4(sync, {});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_FALSE(report->clean);
  EXPECT_NE(report->text.find("superblock"), std::string::npos) << report->text;
}

}  // namespace
}  // namespace mica::guest::testing
