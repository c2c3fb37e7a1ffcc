// SPDX-License-Identifier: Apache-2.0
// What the kernel makes is understood, and what is made here is understood by the kernel. Needs
// root for loop mounts.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "tools/guest/ext4/diff_test_changes.h"
#include "tools/guest/ext4/journal.h"
#include "tools/guest/ext4/writer_test_support.h"

namespace mica::guest::testing {
namespace {

class KernelTest : public ::testing::TestWithParam<MkfsVariant> {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "NOT TESTED: loop mounts need root";
    image_ = scratch_.Path("fs.img");
    MakeFs(image_, GetParam());
  }
  void InMount(const std::string& script) {
    const LoopMount mount(image_, scratch_.Path("mnt"));
    ASSERT_TRUE(mount.mounted());
    Shell(fmt::format("set -e; cd {}; {}", mount.path(), script));
  }

  ScratchFolder scratch_;
  std::string image_;
};

// A copy of the raw image of a mounted file system is what a power cut leaves.
TEST_P(KernelTest, ReplaysTheJournalOfACrashAsE2fsckDoes) {
  const std::string crashed = scratch_.Path("crashed.img");
  {
    const LoopMount mount(image_, scratch_.Path("mnt"));
    ASSERT_TRUE(mount.mounted());
    Shell(fmt::format(
        "set -e; cd {}; mkdir a b; for i in $(seq 300); do echo $i > a/$i; done; sync -f .; rm "
        "a/1*; "
        "mv a/2 b; for i in $(seq 100); do echo $i > b/new$i; done; sync -f .; rm -r b; mkdir c; "
        "sync -f .; cp --sparse=always {} {}",
        mount.path(), image_, crashed));
  }
  const std::string features = OutputOf("dumpe2fs -h " + crashed);
  ASSERT_NE(features.find("needs_recovery"), std::string::npos);
  const std::string reference = scratch_.Path("reference.img");
  CopyImage(crashed, reference);
  OutputOf("e2fsck -y -E journal_only " + reference);

  FileDevice device(crashed);
  MemoryLoop loop;
  SyncDevice sync(loop, device);
  const auto replay = ReplayJournal(sync);
  ASSERT_TRUE(replay) << replay.error().message;
  EXPECT_GE(replay->transactions, 3u);
  EXPECT_GT(replay->blocks_written, 0u);
  // Only the superblocks differ, of the file system (times) and of the journal (sequence number).
  for (const ByteRange& range : DifferingBlocks(crashed, reference)) {
    std::vector<std::byte> block(range.length);
    ASSERT_TRUE(sync.Read(range.offset, block));
    const bool is_journal =
        LoadBe<uint32_t>(block, 0) == 0xc03b3998 && LoadBe<uint32_t>(block, 4) == 4;
    EXPECT_TRUE(range.offset == 0 || is_journal) << "block at " << range.offset;
  }
  const auto volume = Ext4Volume::Open(sync, {});
  ASSERT_TRUE(volume) << volume.error().message;
  EXPECT_TRUE((*LookupPath(**volume, "/c")).has_value());
  EXPECT_FALSE((*LookupPath(**volume, "/b")).has_value());
  EXPECT_TRUE((*LookupPath(**volume, "/a/200")).has_value());
  EXPECT_FALSE((*LookupPath(**volume, "/a/100")).has_value());
}

TEST_P(KernelTest, ChangesWhatTheKernelMadeAndTheKernelReadsIt) {
  // A hashed directory, attribute blocks that files share, unwritten extents, an old deep tree.
  InMount(
      "mkdir big; for i in $(seq 3000); do : > big/a-name-$i; done; "
      "for i in $(seq 40); do echo content-$i > shared-$i; "
      "setfattr -n user.same -v $(printf 'v%.0s' $(seq 400)) shared-$i || true; done; "
      "mkdir -p tree/one/two; echo deep > tree/one/two/file; ln tree/one/two/file hard; "
      "fallocate -l 200000 reserved || true; ln -s $(printf 's%.0s' $(seq 100)) slow");
  WriteSession session(image_);
  Ext4Writer& writer = session.writer();
  const auto inode = [&](std::string_view path) {
    return LookupPath(session.volume(), path)->value_or(0);
  };
  const uint64_t big = inode("/big");
  for (int i = 1; i <= 3000; i += 2) ASSERT_TRUE(writer.Remove({big, fmt::format("a-name-{}", i)}));
  for (int i = 0; i < 4000; ++i) WriteFile(writer, {big, fmt::format("added-{}", i)}, "");
  for (int i = 1; i <= 20; ++i)
    ASSERT_TRUE(writer.Remove({EXT2_ROOT_INO, fmt::format("shared-{}", i)}));
  Attributes attributes = session.volume().Stat(inode("/shared-30"))->attributes;
  attributes.xattrs["user.other"] = "x";
  ASSERT_TRUE(writer.SetAttributes(inode("/shared-30"), attributes));
  ASSERT_TRUE(writer.Rename({inode("/tree"), "one"}, {big, "moved"}));
  ASSERT_TRUE(writer.Remove({EXT2_ROOT_INO, "tree"}));
  ASSERT_TRUE(writer.Remove({EXT2_ROOT_INO, "slow"}));
  if (const uint64_t reserved = inode("/reserved"); reserved != 0) {
    auto file = writer.OpenFile(reserved);
    ASSERT_TRUE(file) << file.error().message;
    ASSERT_TRUE(file->Write(100'000, AsBytes("patched")));
    ASSERT_TRUE(file->Finish());
  }
  NewObject device = MakeNew(ObjectKind::kCharDevice);
  device.device_major = 300;
  device.device_minor = 70'000;
  ASSERT_TRUE(writer.Create({big, "device"}, device));
  session.Finish();
  InMount(
      "test $(ls big | wc -l) = 5502; test ! -e big/a-name-1; test -e big/a-name-2; test -e "
      "big/added-3999; "
      "test ! -e shared-20; test $(cat shared-21) = content-21; test $(cat big/moved/two/file) = "
      "deep; "
      "test $(stat -c %h hard) = 2; test ! -e tree; test $(stat -c %t:%T big/device) = 12c:11170; "
      "getfattr --only-values -n user.other shared-30 | grep -q x; : > big/by-the-kernel; rm -r "
      "big");
  ExpectClean(image_);
}

INSTANTIATE_TEST_SUITE_P(
    Forms, KernelTest,
    ::testing::Values(MkfsVariant{"Default", "-t ext4 -b 4096"},
                      MkfsVariant{"OneKiB", "-t ext4 -b 1024"},
                      MkfsVariant{"Ext3", "-t ext3 -b 4096"},
                      MkfsVariant{"InlineDataEaInode",
                                  "-t ext4 -b 4096 -O inline_data,ea_inode -I 512"},
                      MkfsVariant{"OrphanFile", "-t ext4 -b 4096 -O orphan_file"}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace mica::guest::testing
