// SPDX-License-Identifier: Apache-2.0
// One test per trap of libext2fs 1.47.0 and of the on-disk format that the writing side has to
// know. Every session ends with e2fsck -fn, which must find nothing.
#include "tools/guest/ext4/writer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "engine/filters/forwarding_device.h"
#include "tools/guest/ext4/writer_test_support.h"

namespace mica::guest::testing {
namespace {

constexpr uint64_t kRoot = EXT2_ROOT_INO;

class WriterTest : public ::testing::Test {
 protected:
  // A fresh file system and a session on it.
  void Make(const std::string& options, uint64_t size_bytes = 64 << 20,
            const std::string& changes = "") {
    image_ = scratch_.Path("fs.img");
    MakeFs(image_, {"", options, size_bytes});
    if (!changes.empty()) Debugfs(image_, changes);
    Reopen();
  }
  void Reopen() {
    session_.reset();
    session_ = std::make_unique<WriteSession>(image_);
  }
  void Finish() {
    session_->Finish();
    session_.reset();
    reopened_ = OpenVolume(image_);
  }

  Ext4Writer& writer() { return session_->writer(); }
  Ext4Volume& before() { return session_->volume(); }
  Ext4Volume& after() { return *reopened_->volume; }

  template <class T>
  T Must(Result<T> result) {
    if (!result) throw std::runtime_error(result.error().message);  // ends the test
    return *std::move(result);
  }
  void Must(const Result<void>& result) {
    EXPECT_TRUE(result) << (result ? "" : result.error().message);
  }

  uint64_t Inode(Volume& volume, std::string_view path) {
    const auto found = Must(LookupPath(volume, path));
    EXPECT_TRUE(found) << path;
    return found.value_or(0);
  }

  ScratchFolder scratch_;
  std::string image_;
  std::unique_ptr<WriteSession> session_;
  std::unique_ptr<OpenImage> reopened_;
};

TEST_F(WriterTest, ATwoLevelExtentTreeKeepsTheBlockCount) {
  Make("-t ext4 -b 1024");
  const uint64_t inode = WriteFile(writer(), {kRoot, "scattered"}, "");
  FileWriter file = Must(writer().OpenFile(inode));
  constexpr uint64_t kExtents = 2000;
  for (uint64_t i = 0; i < kExtents; ++i) Must(file.Write(i * 2048, AsBytes(Pattern(i, 1024))));
  Must(file.Finish());
  // 84 extents in a block of 1 KiB: 24 leaves, which need one index block above them.
  const RawInode raw = Must(before().Inode(inode));
  EXPECT_EQ(raw.large().i_blocks, (kExtents + 24 + 1) * 2);
  Finish();
  const std::string content = Must(ReadWhole(after(), inode, UINT64_MAX));
  EXPECT_EQ(content.substr(1999 * 2048, 1024), Pattern(1999, 1024));
  EXPECT_EQ(Must(after().StoredRanges(inode)).size(), kExtents);
}

TEST_F(WriterTest, FillingLeftOfExistingExtentsTakesNothingTwice) {
  Make("-t ext4 -b 4096");
  const uint64_t free_before = ext2fs_free_blocks_count(before().fs()->super);
  const uint64_t inode = WriteFile(writer(), {kRoot, "backwards"}, "");
  for (int i = 99; i >= 0; --i) {
    FileWriter file = Must(writer().OpenFile(inode));
    Must(file.Write(static_cast<uint64_t>(i) * 4096,
                    AsBytes(Pattern(static_cast<uint64_t>(i), 4096))));
    Must(file.Finish());
  }
  EXPECT_GE(ext2fs_free_blocks_count(before().fs()->super) + 100 + 1, free_before);
  Finish();
  const std::string content = Must(ReadWhole(after(), inode, UINT64_MAX));
  for (uint64_t i = 0; i < 100; ++i)
    EXPECT_EQ(content.substr(i * 4096, 4096), Pattern(i, 4096)) << i;
}

TEST_F(WriterTest, GenerationIsSetBeforeAnyChecksumUsesIt) {
  Make("-t ext4 -b 4096 -O metadata_csum");
  const uint64_t inode = Must(writer().Create({kRoot, "d"}, MakeNew(ObjectKind::kDirectory, 0755)));
  const uint32_t generation = Must(before().Stat(inode)).id.generation;
  EXPECT_NE(generation, 0u);
  Must(writer().Rename({kRoot, "d"}, {kRoot, "e"}));
  Must(writer().SetAttributes(inode, MakeNew(ObjectKind::kDirectory, 0700).attributes));
  Finish();
  EXPECT_EQ(Must(after().Stat(inode)).id.generation, generation);
}

TEST_F(WriterTest, ALinearDirectoryThatGrowsBecomesAHashedOne) {
  for (const char* options : {"-t ext4 -b 4096", "-t ext4 -b 1024",
                              "-t ext4 -b 4096 -O ^metadata_csum", "-t ext3 -b 4096"}) {
    SCOPED_TRACE(options);
    Make(options);
    const uint64_t directory =
        Must(writer().Create({kRoot, "d"}, MakeNew(ObjectKind::kDirectory, 0755)));
    const uint64_t file = WriteFile(writer(), {kRoot, "f"}, "x");
    constexpr int kNames = 6000;
    for (int i = 0; i < kNames; ++i)
      Must(writer().Link({directory, fmt::format("name-{}", i)}, file));
    EXPECT_TRUE(Must(before().Inode(directory)).Has(EXT2_INDEX_FL));
    // Adding one more name to it fails cleanly when it is there.
    const auto again = writer().Link({directory, "name-17"}, file);
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, Errc::kExists);
    for (int i = 0; i < kNames; i += 3)
      Must(writer().Remove({directory, fmt::format("name-{}", i)}));
    Finish();
    EXPECT_EQ(Must(after().List(directory)).size(), static_cast<size_t>(kNames - kNames / 3));
    EXPECT_EQ(Must(after().LookupIn(directory, "name-17")), file);
    EXPECT_EQ(Must(after().LookupIn(directory, "name-18")), std::nullopt);
    EXPECT_EQ(Must(after().Stat(file)).link_count, static_cast<uint32_t>(kNames - kNames / 3 + 1));
  }
}

TEST_F(WriterTest, ALargeLinearDirectoryOfTheMasterIsHashedWhenItGrows) {
  // debugfs makes linear directories of any size.
  std::string changes = "mkdir /d\nwrite /dev/null /f\n";
  for (int i = 0; i < 30; ++i) changes += "expand_dir /d\n";
  for (int i = 0; i < 600; ++i) changes += fmt::format("ln /f /d/a-name-of-some-length-{}\n", i);
  Make("-t ext4 -b 1024", 64 << 20, changes + "sif /f links_count 601\n");
  const uint64_t directory = Inode(before(), "/d");
  const uint64_t file = Inode(before(), "/f");
  ASSERT_FALSE(Must(before().Inode(directory)).Has(EXT2_INDEX_FL));
  for (int i = 0; i < 1000; ++i) Must(writer().Link({directory, fmt::format("new-{}", i)}, file));
  EXPECT_TRUE(Must(before().Inode(directory)).Has(EXT2_INDEX_FL));
  Finish();
  EXPECT_EQ(Must(after().List(directory)).size(), 1600u);
  EXPECT_EQ(Must(after().LookupIn(directory, "a-name-of-some-length-599")), file);
}

TEST_F(WriterTest, AHashedDirectoryWhoseExtentTreeHasTwoLevelsTakesMoreNames) {
  Make("-t ext4 -b 1024 -N 20000", 128 << 20);
  const uint64_t directory =
      Must(writer().Create({kRoot, "d"}, MakeNew(ObjectKind::kDirectory, 0755)));
  // Files in between scatter the blocks of the directory.
  const std::string content(1024, 'x');
  for (int i = 0; i < 12000; ++i) {
    WriteFile(writer(), {directory, fmt::format("{:0>40}", i)}, content);
  }
  const FileMap map = Must(MapInode(before().fs(), before().io(), Must(before().Inode(directory))));
  EXPECT_GT(map.extents.size(), 4u * 84);
  Finish();
  EXPECT_EQ(Must(after().List(directory)).size(), 12000u);
}

TEST_F(WriterTest, ADirectoryWithTooManySubdirectoriesStopsCounting) {
  Make("-t ext4 -b 4096", 64 << 20, "mkdir /d\nsif /d links_count 64999");
  const uint64_t directory = Inode(before(), "/d");
  const NewObject child = MakeNew(ObjectKind::kDirectory, 0755);
  const auto links = [&] { return Must(before().Inode(directory)).large().i_links_count; };
  Must(writer().Create({directory, "one"}, child));
  EXPECT_EQ(links(), 65000);
  Must(writer().Create({directory, "two"}, child));
  EXPECT_EQ(links(), 1);
  Must(writer().Create({directory, "three"}, child));
  Must(writer().Remove({directory, "one"}));
  EXPECT_EQ(links(), 1);
  session_.reset();  // e2fsck would count the three
}

TEST_F(WriterTest, InlineFilesAndDirectoriesAreChangedCorrectly) {
  const std::string source = scratch_.Path("data");
  Shell(fmt::format(
      "printf 'inline content that is longer than sixty bytes, so that it has a tail too' > {}",
      source));
  Make("-t ext4 -b 4096 -O inline_data -I 256", 64 << 20,
       fmt::format(
           "write {} /small\nmkdir /d\nmkdir /d/sub\nln /small /d/one\nsif /small links_count 2",
           source));
  const uint64_t small = Inode(before(), "/small");
  ASSERT_TRUE(Must(before().Inode(small)).Has(EXT4_INLINE_DATA_FL));
  const uint64_t directory = Inode(before(), "/d");
  const uint64_t sub = Inode(before(), "/d/sub");
  ASSERT_TRUE(Must(before().Inode(sub)).Has(EXT4_INLINE_DATA_FL));
  FileWriter file = Must(writer().OpenFile(small));
  Must(file.Write(7, AsBytes("CONTENT")));
  Must(file.Write(5000, AsBytes("end")));
  Must(file.Finish());
  // An inline directory keeps its parent outside its entries.
  Must(writer().Rename({directory, "sub"}, {kRoot, "moved"}));
  Must(writer().Rename({kRoot, "moved"}, {directory, "back"}));
  Must(writer().Rename({directory, "back"}, {kRoot, "moved"}));
  for (int i = 0; i < 40; ++i) WriteFile(writer(), {sub, fmt::format("grown-{}", i)}, "x");
  Must(writer().Remove({directory, "one"}));
  Must(writer().Remove({kRoot, "d"}));
  EXPECT_FALSE(Must(before().Inode(sub)).Has(EXT4_INLINE_DATA_FL));
  Finish();
  const std::string content = Must(ReadWhole(after(), small, UINT64_MAX));
  EXPECT_EQ(content.substr(0, 20), "inline CONTENT that ");
  EXPECT_EQ(content.size(), 5003u);
  EXPECT_EQ(content.substr(5000), "end");
  EXPECT_EQ(Must(after().List(sub)).size(), 40u);
}

TEST_F(WriterTest, AttributeValuesInInodesAreCountedAndFreed) {
  Make("-t ext4 -b 4096 -O ea_inode -I 512");
  const uint32_t free_inodes = before().fs()->super->s_free_inodes_count;
  NewObject object = MakeNew(ObjectKind::kRegular);
  object.attributes.xattrs["user.big"] = Pattern(1, 50'000);
  object.attributes.xattrs["user.bigger"] = Pattern(2, 65'000);
  object.attributes.xattrs["user.small"] = "v";
  const uint64_t inode = Must(writer().Create({kRoot, "f"}, object));
  EXPECT_EQ(before().fs()->super->s_free_inodes_count, free_inodes - 3);
  EXPECT_EQ(Must(before().Inode(inode)).large().i_blocks, (13u + 16u) * 8);
  Finish();
  EXPECT_EQ(Must(after().Stat(inode)).attributes.xattrs, object.attributes.xattrs);
  Reopen();
  object.attributes.xattrs.erase("user.big");
  object.attributes.xattrs["user.bigger"] = Pattern(3, 5000);
  Must(writer().SetAttributes(inode, object.attributes));
  EXPECT_EQ(before().fs()->super->s_free_inodes_count, free_inodes - 2);
  Finish();
  EXPECT_EQ(Must(after().Stat(inode)).attributes.xattrs, object.attributes.xattrs);
  Reopen();
  Must(writer().Remove({kRoot, "f"}));
  EXPECT_EQ(before().fs()->super->s_free_inodes_count, free_inodes);
  Finish();
}

TEST_F(WriterTest, AnAttributeBlockThatBecomesEmptyIsFreed) {
  Make("-t ext4 -b 4096");
  NewObject object = MakeNew(ObjectKind::kRegular);
  object.attributes.xattrs["user.long"] = Pattern(1, 3000);
  const uint64_t inode = Must(writer().Create({kRoot, "f"}, object));
  EXPECT_NE(Must(before().Inode(inode)).large().i_file_acl, 0u);
  object.attributes.xattrs = {{"user.short", "v"}};
  Must(writer().SetAttributes(inode, object.attributes));
  EXPECT_EQ(Must(before().Inode(inode)).large().i_file_acl, 0u);
  EXPECT_EQ(Must(before().Inode(inode)).large().i_blocks, 0u);
  Finish();
}

TEST_F(WriterTest, AttributesThatDoNotFitAreRefused) {
  Make("-t ext4 -b 4096");
  NewObject object = MakeNew(ObjectKind::kRegular);
  const uint64_t inode = Must(writer().Create({kRoot, "f"}, object));
  object.attributes.xattrs["user.large"] = Pattern(1, 5000);
  const auto large = writer().SetAttributes(inode, object.attributes);
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code, Errc::kNoSpace);
  object.attributes.xattrs = {{"unknown.name", "v"}};
  const auto unknown = writer().SetAttributes(inode, object.attributes);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Errc::kUnsupported);
  Finish();
}

TEST_F(WriterTest, AttributesAreArrangedSoThatAllFit) {
  Make("-t ext4 -b 4096 -I 256");  // 88 bytes in the inode, 4060 in the block
  NewObject object = MakeNew(ObjectKind::kRegular);
  object.attributes.xattrs["user.a"] = Pattern(1, 20);  // 40 with its entry
  const uint64_t inode = Must(writer().Create({kRoot, "f"}, object));
  object.attributes.xattrs["user.b"] = Pattern(2, 24);  // 44
  object.attributes.xattrs["user.c"] = Pattern(3, 24);
  object.attributes.xattrs["user.d"] = Pattern(4, 4000);  // 4020
  EXPECT_TRUE(before().CanHold(object.attributes.xattrs));
  Must(writer().SetAttributes(inode, object.attributes));
  Xattrs larger = object.attributes.xattrs;
  larger["user.e"] = "";
  EXPECT_FALSE(before().CanHold(larger));
  Finish();
  EXPECT_EQ(Must(after().Stat(inode)).attributes.xattrs, object.attributes.xattrs);
}

TEST_F(WriterTest, InlineDataGivesWayToAttributes) {
  const std::string source = scratch_.Path("data");
  const std::string content(100, 'i');
  Shell(fmt::format("printf {} > {}", content, source));
  Make("-t ext4 -b 4096 -O inline_data -I 256", 64 << 20,
       fmt::format("write {} /small\nmkdir /d\nmkdir /d/sub", source));
  for (const char* path : {"/small", "/d"}) {
    const uint64_t inode = Inode(before(), path);
    ASSERT_TRUE(Must(before().Inode(inode)).Has(EXT4_INLINE_DATA_FL));
    Attributes attributes = Must(before().Stat(inode)).attributes;
    attributes.xattrs = {{"user.a", Pattern(1, 60)}, {"user.b", Pattern(2, 4000)}};
    EXPECT_TRUE(before().CanHold(attributes.xattrs));
    Must(writer().SetAttributes(inode, attributes));
    EXPECT_EQ(Must(before().Stat(inode)).attributes.xattrs, attributes.xattrs);
  }
  Finish();
  EXPECT_EQ(Must(ReadWhole(after(), Inode(after(), "/small"), 1000)), content);
  EXPECT_EQ(Must(after().List(Inode(after(), "/d"))).size(), 1u);
}

TEST_F(WriterTest, SmallInodesKeepWholeSecondsUntil2038) {
  for (const char* options : {"-t ext4 -b 4096 -I 128", "-t ext4 -b 4096 -I 256"}) {
    Make(options);
    NewObject object = MakeNew(ObjectKind::kRegular);
    std::map<uint64_t, Timestamp> stored;
    for (const int64_t seconds : {int64_t{-5}, int64_t{1'600'000'000}, int64_t{5'000'000'000}}) {
      object.attributes.modified = {seconds, 987'654'321};
      const Timestamp time = before().StoredTime(object.attributes.modified);
      EXPECT_EQ(time == object.attributes.modified, std::string_view(options).ends_with("256"));
      object.attributes.modified = time;
      stored[Must(writer().Create({kRoot, fmt::format("f{}", seconds)}, object))] = time;
    }
    Finish();
    for (const auto& [inode, time] : stored) {
      EXPECT_EQ(Must(after().Stat(inode)).attributes.modified, time);
    }
  }
}

TEST_F(WriterTest, AFileSystemWithoutAttributesHoldsNone) {
  Make("-t ext4 -b 4096 -O ^ext_attr");
  EXPECT_TRUE(before().CanHold({}));
  EXPECT_FALSE(before().CanHold({{"user.a", ""}}));
}

TEST_F(WriterTest, UnwrittenBlocksBecomeWrittenAndReadZeroAround) {
  Make("-t ext4 -b 4096", 64 << 20, "write /dev/null /f\nfallocate /f 0 99\nsif /f size 409600");
  const uint64_t inode = Inode(before(), "/f");
  ASSERT_TRUE(Must(before().StoredRanges(inode)).empty());
  FileWriter file = Must(writer().OpenFile(inode));
  Must(file.Write(50'000, AsBytes("in the middle")));
  Must(file.Finish());
  Finish();
  std::string expected(409'600, '\0');
  expected.replace(50'000, 13, "in the middle");
  EXPECT_TRUE(Must(ReadWhole(after(), inode, UINT64_MAX)) == expected);
}

TEST_F(WriterTest, StaleBytesBehindTheEndNeverShow) {
  Make("-t ext4 -b 4096");
  const uint64_t inode = WriteFile(writer(), {kRoot, "f"}, std::string(10'000, 'x'));
  FileWriter file = Must(writer().OpenFile(inode));
  Must(file.Resize(100));
  Must(file.Resize(6000));
  Must(file.Write(8000, AsBytes("y")));
  Must(file.Punch({50, 20}));
  Must(file.Finish());
  Finish();
  std::string expected = std::string(100, 'x') + std::string(7900, '\0') + "y";
  expected.replace(50, 20, 20, '\0');
  EXPECT_TRUE(Must(ReadWhole(after(), inode, UINT64_MAX)) == expected);
}

TEST_F(WriterTest, HugeSparseFilesWorkAndImpossibleOnesAreRefused) {
  Make("-t ext4 -b 4096");
  const uint64_t inode = WriteFile(writer(), {kRoot, "huge"}, "start");
  FileWriter file = Must(writer().OpenFile(inode));
  constexpr uint64_t kTiB = uint64_t{1} << 40;
  Must(file.Write(kTiB, AsBytes("end")));
  Must(file.Finish());
  FileWriter beyond = Must(writer().OpenFile(WriteFile(writer(), {kRoot, "beyond"}, "")));
  Result<void> written = beyond.Write(uint64_t{1} << 50, AsBytes("x"));
  if (written) written = beyond.Finish();
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, Errc::kLimit);
}

TEST_F(WriterTest, CreationAndAccessTimesStayWhenAttributesAreSet) {
  Make("-t ext4 -b 4096 -O project");
  const uint64_t inode = WriteFile(writer(), {kRoot, "f"}, "x");
  const RawInode old = Must(before().Inode(inode));
  EXPECT_EQ(Must(before().Stat(inode)).id.created, kTestNow);
  Attributes attributes;
  attributes.mode = 04711;
  attributes.uid = 100'000;
  attributes.gid = 4'000'000'000;
  attributes.modified = {int64_t{9'000'000'000}, 999'999'999};  // beyond 2038 and 2106
  attributes.flags = EXT2_NODUMP_FL;
  attributes.project_id = 77;
  Must(writer().SetAttributes(inode, attributes));
  Finish();
  const Object object = Must(after().Stat(inode));
  EXPECT_EQ(object.attributes, attributes);
  EXPECT_EQ(object.id.created, kTestNow);
  EXPECT_EQ(Must(after().Inode(inode)).large().i_atime, old.large().i_atime);
}

TEST_F(WriterTest, TimesOutsideTheFormatAreClamped) {
  EXPECT_EQ(DecodeTime(EncodeTime({-1, 5}).seconds, EncodeTime({-1, 5}).extra), (Timestamp{-1, 5}));
  for (const int64_t seconds : {int64_t{0}, int64_t{-2147483648}, int64_t{2147483648},
                                int64_t{4294967296}, int64_t{15032385535}}) {
    const EncodedTime encoded = EncodeTime({seconds, 7});
    EXPECT_EQ(DecodeTime(encoded.seconds, encoded.extra), (Timestamp{seconds, 7})) << seconds;
  }
  const EncodedTime late = EncodeTime({int64_t{1} << 40, 0});
  EXPECT_EQ(DecodeTime(late.seconds, late.extra).seconds, 15032385535);
}

TEST_F(WriterTest, OrdinaryMistakesAreErrorsAndChangeNothing) {
  Make("-t ext4 -b 4096");
  const uint64_t file = WriteFile(writer(), {kRoot, "f"}, "x");
  const uint64_t directory =
      Must(writer().Create({kRoot, "d"}, MakeNew(ObjectKind::kDirectory, 0755)));
  WriteFile(writer(), {directory, "child"}, "x");
  const auto code = [](const auto& result) { return result ? Errc::kIo : result.error().code; };
  const NewObject regular = MakeNew(ObjectKind::kRegular);
  EXPECT_EQ(code(writer().Create({kRoot, "f"}, regular)), Errc::kExists);
  EXPECT_EQ(code(writer().Create({file, "x"}, regular)), Errc::kInvalidArgument);
  for (const std::string& leaf :
       {std::string(), std::string("."), std::string(".."), std::string("a/b"),
        std::string("a\0b", 3), std::string(256, 'x')}) {
    EXPECT_EQ(code(writer().Create({kRoot, leaf}, regular)), Errc::kInvalidArgument) << leaf;
  }
  EXPECT_EQ(code(writer().Create({kRoot, "l"}, MakeNew(ObjectKind::kSymlink))),
            Errc::kInvalidArgument);
  NewObject odd = regular;
  odd.attributes.xattrs["odd"] = "name";
  EXPECT_EQ(code(writer().Create({kRoot, "o"}, odd)), Errc::kUnsupported);
  EXPECT_EQ(Must(before().List(kRoot)).size(), 3u);  // with lost+found
  EXPECT_EQ(code(writer().Remove({kRoot, "missing"})), Errc::kNotFound);
  EXPECT_EQ(code(writer().Remove({kRoot, "d"})), Errc::kInvalidArgument);
  EXPECT_EQ(code(writer().Rename({kRoot, "missing"}, {kRoot, "y"})), Errc::kNotFound);
  EXPECT_EQ(code(writer().Rename({kRoot, "f"}, {kRoot, "d"})), Errc::kExists);
  EXPECT_EQ(code(writer().Link({kRoot, "e"}, directory)), Errc::kInvalidArgument);
  EXPECT_EQ(code(writer().OpenFile(directory)), Errc::kInvalidArgument);
  Finish();
}

TEST_F(WriterTest, AFullFileSystemIsNoSpace) {
  Make("-t ext4 -b 4096", 8 << 20);
  const uint64_t inode = WriteFile(writer(), {kRoot, "f"}, "");
  FileWriter file = Must(writer().OpenFile(inode));
  const std::string data(1 << 20, 'x');
  Result<void> written;
  for (uint64_t i = 0; i < 20 && written; ++i) written = file.Write(i << 20, AsBytes(data));
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, Errc::kNoSpace);
  session_.reset();
}

TEST_F(WriterTest, AReadOnlyVolumeCannotBeOpenedForWriting) {
  Make("-t ext4 -b 4096");
  Finish();
  MemoryLoop loop;
  FileDevice device(image_);
  class ReadOnly final : public ForwardingDevice {
   public:
    explicit ReadOnly(BlockDevice& inner) : ForwardingDevice(inner) { info_.read_only = true; }
  } read_only(device);
  SyncDevice sync(loop, read_only);
  const auto volume = Ext4Volume::Open(sync, {.access = Ext4Access::kReadWrite});
  ASSERT_FALSE(volume);
  EXPECT_EQ(volume.error().code, Errc::kReadOnly);
  EXPECT_TRUE(Ext4Volume::Open(sync, {}));
}

}  // namespace
}  // namespace mica::guest::testing
