// SPDX-License-Identifier: Apache-2.0
// What the kernel makes is understood, and what is made here is understood by the kernel. Needs
// root for loop mounts.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
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
      "setfattr -n user.fill -v $(printf 'f%.0s' $(seq 295)) shared-$i || true; "
      "setfattr -n user.large -v $(printf 'L%.0s' $(seq 5000)) shared-$i 2>/dev/null || true; "
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
  attributes.xattrs.erase("user.large");
  ASSERT_TRUE(writer.SetAttributes(inode("/shared-31"), attributes));
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

// Compares what Ext4Volume says of every object with what the kernel says.
class TreeComparison {
 public:
  TreeComparison(Ext4Volume& volume, std::string mount)
      : volume_(volume), mount_(std::move(mount)) {}

  void Run() {
    Compare(mount_, volume_.root());
    for (const auto& entry : std::filesystem::recursive_directory_iterator(mount_)) {
      const std::string path = entry.path().string();
      SCOPED_TRACE(path);
      const auto inode = LookupPath(volume_, path.substr(mount_.size()));
      ASSERT_TRUE(inode) << inode.error().message;
      ASSERT_TRUE(inode->has_value());
      Compare(path, **inode);
    }
  }

  [[nodiscard]] int compared() const { return compared_; }

 private:
  void Compare(const std::string& path, uint64_t inode) {
    ++compared_;
    struct stat expected{};
    ASSERT_EQ(::lstat(path.c_str(), &expected), 0);
    const auto object = volume_.Stat(inode);
    ASSERT_TRUE(object) << object.error().message;
    EXPECT_EQ(inode, expected.st_ino);
    EXPECT_EQ(ModeBitsOf(object->kind) | object->attributes.mode, expected.st_mode);
    EXPECT_EQ(object->attributes.uid, expected.st_uid);
    EXPECT_EQ(object->attributes.gid, expected.st_gid);
    EXPECT_EQ(object->link_count, expected.st_nlink);
    EXPECT_EQ(object->attributes.modified.seconds, expected.st_mtim.tv_sec);
    EXPECT_EQ(object->attributes.modified.nanoseconds, expected.st_mtim.tv_nsec);
    EXPECT_EQ(object->attributes.xattrs, XattrsOf(path));
    if (object->kind == ObjectKind::kCharDevice || object->kind == ObjectKind::kBlockDevice) {
      EXPECT_EQ(object->device_major, major(expected.st_rdev));
      EXPECT_EQ(object->device_minor, minor(expected.st_rdev));
    }
    if (object->kind == ObjectKind::kSymlink) {
      EXPECT_EQ(object->symlink_target, std::filesystem::read_symlink(path).string());
    }
    if (object->kind != ObjectKind::kRegular) return;
    std::ifstream file(path, std::ios::binary);
    const std::string content((std::istreambuf_iterator<char>(file)), {});
    const auto read = ReadWhole(volume_, inode, UINT64_MAX);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_TRUE(*read == content);
  }

  static std::map<std::string, std::string> XattrsOf(const std::string& path) {
    std::map<std::string, std::string> xattrs;
    std::string names(65536, '\0');
    const ssize_t bytes = ::llistxattr(path.c_str(), names.data(), names.size());
    for (ssize_t at = 0; at < bytes;) {
      const std::string name = names.c_str() + at;
      std::string value(65536, '\0');
      const ssize_t size = ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
      value.resize(static_cast<size_t>(std::max<ssize_t>(size, 0)));
      xattrs[name] = value;
      at += static_cast<ssize_t>(name.size()) + 1;
    }
    return xattrs;
  }

  Ext4Volume& volume_;
  std::string mount_;
  int compared_ = 0;
};

TEST_P(KernelTest, ReadsEverythingAsTheKernelShowsIt) {
  const uint64_t seed = 1;
  SCOPED_TRACE(fmt::format("seed {}", seed));
  const std::string frozen = scratch_.Path("frozen.img");
  {
    const LoopMount mount(image_, scratch_.Path("mnt"));
    ASSERT_TRUE(mount.mounted());
    Prng prng(seed);
    RandomChanges(mount.path(), prng).Run(400);
    Shell(fmt::format(
        "set -e; cd {}; mkdir special; cd special; mkdir acl; setfacl -m "
        "u:1234:rwx,g:70000:r,d:u:5:x acl; "
        "cp /bin/true capable; setcap cap_net_raw+ep capable; mknod c c 1 3; mknod b b 4095 "
        "1048575; "
        "mkfifo p; "
        "touch -d @0 epoch; touch -d '1965-03-04 05:06:07.123456789 UTC' old; echo x > late; "
        "touch -d '2037-12-31 23:59:59.999999999 UTC' late; ln -s short s; ln -s $(printf 'x%.0s' "
        "$(seq 60)) s60; "
        "ln -s $(printf 'x%.0s' $(seq 900)) s900; dd if=/dev/urandom of=holes bs=3000 count=3 "
        "seek=40 status=none; "
        "printf %0150d 0 > inline; printf %060d 0 > inline60; : > empty; chown 100000:4000000000 "
        "late; "
        "setfattr -n trusted.t -v '' late; setfattr -n user.hex -v 0x00ff00 late; sync -f .",
        mount.path()));
  }
  CopyImage(image_, frozen);
  const LoopMount mount(image_, scratch_.Path("mnt"));
  MemoryLoop loop;
  FileDevice copy(frozen);
  SyncDevice copy_sync(loop, copy);
  const auto volume = Ext4Volume::Open(copy_sync, {});
  ASSERT_TRUE(volume) << volume.error().message;
  TreeComparison comparison(**volume, mount.path());
  comparison.Run();
  EXPECT_GT(comparison.compared(), 50);
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
