// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/disk.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "engine/base/prng.h"
#include "tools/guest/ext4/writer_test_support.h"
#include "tools/guest/lvm/lvm_test_support.h"
#include "tools/guest/overlay_device.h"

namespace mica::guest::testing {
namespace {

constexpr uint64_t kMiB = 1 << 20;

// A disk of 64 MiB partitioned by sfdisk.
class TestDisk {
 public:
  explicit TestDisk(const std::string& script) : path_(scratch_.Path("disk.img")) {
    const UniqueFd file(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    EXPECT_EQ(::ftruncate(file.get(), 64 * kMiB), 0);
    if (!script.empty()) {
      std::ofstream(scratch_.Path("script")) << script;
      Shell(fmt::format("sfdisk -q --no-reread --no-tell-kernel {} < {}", path_,
                        scratch_.Path("script")));
    }
    device_ = std::make_unique<FileDevice>(path_);
    sync_ = std::make_unique<SyncDevice>(loop_, *device_);
  }

  // Makes an ext4 file system at a place.
  void AddExt4(ByteRange range) {
    const std::string fs = scratch_.Path("fs.img");
    MakeFs(fs, {"", "-t ext4 -L label", range.length});
    Shell(fmt::format("dd if={} of={} bs=1M seek={} conv=notrunc,sparse status=none", fs, path_,
                      range.offset / kMiB));
  }

  [[nodiscard]] SyncDevice& sync() { return *sync_; }
  [[nodiscard]] FileDevice& device() { return *device_; }
  [[nodiscard]] MemoryLoop& loop() { return loop_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  ScratchFolder scratch_;
  std::string path_;
  MemoryLoop loop_;
  std::unique_ptr<FileDevice> device_;
  std::unique_ptr<SyncDevice> sync_;
};

constexpr char kGptScript[] =
    "label: gpt\n"
    "start=2048, size=20480, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, "
    "uuid=11111111-2222-3333-4444-555555555555, name=\"EFI sÿstem\"\n"
    "start=22528, size=65536, type=L, name=root\n";

TEST(PartitionTable, ReadsGpt) {
  TestDisk disk(kGptScript);
  const auto table = ReadPartitionTable(disk.sync());
  ASSERT_TRUE(table) << table.error().message;
  EXPECT_EQ(table->scheme, PartitionScheme::kGpt);
  EXPECT_FALSE(table->from_backup);
  ASSERT_EQ(table->partitions.size(), 2u);
  const Partition& first = table->partitions[0];
  EXPECT_EQ(first.number, 1u);
  EXPECT_EQ(first.range, (ByteRange{kMiB, 10 * kMiB}));
  EXPECT_EQ(first.type.ToString(), "C12A7328-F81F-11D2-BA4B-00A0C93EC93B");
  EXPECT_EQ(first.unique.ToString(), "11111111-2222-3333-4444-555555555555");
  EXPECT_EQ(first.name, "EFI sÿstem");
  EXPECT_EQ(table->partitions[1].range, (ByteRange{11 * kMiB, 32 * kMiB}));
  EXPECT_EQ(table->partitions[1].name, "root");
}

TEST(PartitionTable, UsesTheCopyAtTheEndWhenTheFirstIsDamaged) {
  for (const uint64_t offset : {uint64_t{512 + 40}, uint64_t{1024 + 3}}) {  // header, entries
    TestDisk disk(kGptScript);
    const std::byte junk[] = {std::byte{0x77}};
    WriteAt(disk.path(), offset, junk);
    const auto table = ReadPartitionTable(disk.sync());
    ASSERT_TRUE(table) << table.error().message;
    EXPECT_TRUE(table->from_backup);
    EXPECT_EQ(table->partitions.size(), 2u);
  }
}

TEST(PartitionTable, BothCopiesDamagedIsAnError) {
  TestDisk disk(kGptScript);
  const std::byte junk[] = {std::byte{0x77}};
  WriteAt(disk.path(), 512 + 40, junk);
  WriteAt(disk.path(), 64 * kMiB - 512 + 40, junk);
  const auto table = ReadPartitionTable(disk.sync());
  ASSERT_FALSE(table);
  EXPECT_EQ(table.error().code, Errc::kCorrupt);
  EXPECT_NE(table.error().message.find("checksum"), std::string::npos) << table.error().message;
}

TEST(PartitionTable, ReadsMbrWithLogicalPartitions) {
  TestDisk disk(
      "label: dos\n"
      "start=2048, size=20480, type=83\n"
      "start=22528, size=90112, type=5\n"
      "start=24576, size=8192, type=83\n"
      "start=34816, size=8192, type=82\n");
  const auto table = ReadPartitionTable(disk.sync());
  ASSERT_TRUE(table) << table.error().message;
  EXPECT_EQ(table->scheme, PartitionScheme::kMbr);
  ASSERT_EQ(table->partitions.size(), 3u);
  EXPECT_EQ(table->partitions[0].number, 1u);
  EXPECT_EQ(table->partitions[1].number, 5u);
  EXPECT_EQ(table->partitions[1].range, (ByteRange{12 * kMiB, 4 * kMiB}));
  EXPECT_EQ(table->partitions[2].number, 6u);
  EXPECT_EQ(table->partitions[2].mbr_type, 0x82);
}

TEST(PartitionTable, ALoopOfExtendedPartitionsIsAnError) {
  TestDisk disk(
      "label: dos\n"
      "start=2048, size=90112, type=5\n"
      "start=4096, size=8192, type=83\n"
      "start=14336, size=8192, type=83\n");
  // The second record links to the first.
  const auto table = ReadPartitionTable(disk.sync());
  ASSERT_TRUE(table);
  std::vector<std::byte> record(512);
  const uint64_t second = 12288 * 512;
  ASSERT_TRUE(disk.sync().Read(second, record));
  ASSERT_EQ(LoadLe<uint16_t>(record, 510), 0xaa55) << "sfdisk put the record elsewhere";
  record[446 + 16 + 4] = std::byte{5};
  StoreLe(Bytes(record), 446 + 16 + 8, 0u);
  StoreLe(Bytes(record), 446 + 16 + 12, 4096u);
  WriteAt(disk.path(), second, record);
  const auto looped = ReadPartitionTable(disk.sync());
  ASSERT_FALSE(looped);
  EXPECT_EQ(looped.error().code, Errc::kCorrupt);
}

TEST(PartitionTable, APartitionBeyondACutOffDiskIsAnError) {
  TestDisk disk("label: dos\nstart=2048, size=120000, type=83\n");
  const UniqueFd file(::open(disk.path().c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(::ftruncate(file.get(), 32 * kMiB), 0);
  FileDevice cut(disk.path());
  SyncDevice sync(disk.loop(), cut);
  const auto table = ReadPartitionTable(sync);
  ASSERT_FALSE(table);
  EXPECT_NE(table.error().message.find("beyond the disk"), std::string::npos)
      << table.error().message;
}

TEST(PartitionTable, RandomDamageNeverDoesMoreThanFail) {
  const char* chosen = std::getenv("MICA_SEED");
  const uint64_t seed = chosen != nullptr ? std::strtoull(chosen, nullptr, 10) : 1;
  SCOPED_TRACE(fmt::format("MICA_SEED={}", seed));
  Prng prng(seed);
  TestDisk gpt(kGptScript);
  TestDisk mbr("label: dos\nstart=2048, size=90112, type=5\nstart=4096, size=8192, type=83\n");
  for (int round = 0; round < 500; ++round) {
    TestDisk& disk = round % 2 == 0 ? gpt : mbr;
    OverlayDevice overlay(disk.device());
    SyncDevice sync(disk.loop(), overlay);
    for (uint64_t i = 1 + prng.Below(8); i > 0; --i) {
      const std::byte value[] = {static_cast<std::byte>(prng.Next())};
      const uint64_t at =
          prng.OneIn(2) ? 446 + prng.Below(66) : kMiB * prng.Below(2) + prng.Below(2048);
      ASSERT_TRUE(sync.Write(at, value));
    }
    const auto read = ReadDisk(sync);
    if (!read) {
      EXPECT_FALSE(read.error().message.empty());
    }
  }
}

TEST(Disk, NamesWhatIsOnItAndPicksTheExtFileSystem) {
  TestDisk disk(kGptScript);
  disk.AddExt4({11 * kMiB, 32 * kMiB});
  const auto read = ReadDisk(disk.sync());
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_EQ(read->volumes.size(), 2u);
  EXPECT_EQ(read->volumes[0].kind, VolumeKind::kEmpty);
  EXPECT_EQ(read->volumes[1].kind, VolumeKind::kExt);
  EXPECT_EQ(read->volumes[1].label, "label");
  const auto picked = PickVolume(*read, std::nullopt);
  ASSERT_TRUE(picked);
  EXPECT_EQ(picked->id.partition, 2u);
  const auto missing = PickVolume(*read, VolumeId{7, {}});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message,
            "no partition 7 on the disk; there is 1: nothing (10.0 MiB); 2: an ext2/3/4 file "
            "system (32.0 MiB)");
}

TEST(Disk, AFileSystemWithoutPartitionTableIsOneVolume) {
  TestDisk disk("");
  disk.AddExt4({0, 64 * kMiB});
  const auto read = ReadDisk(disk.sync());
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->scheme, PartitionScheme::kNone);
  const auto picked = PickVolume(*read, std::nullopt);
  ASSERT_TRUE(picked) << picked.error().message;
  EXPECT_EQ(picked->pieces, (std::vector<ByteRange>{{0, 64 * kMiB}}));
  EXPECT_EQ(picked->id.partition, 0u);
}

// The first partition of kGptScript is a physical volume of 10 MiB with that metadata.
void AddPhysicalVolume(const TestDisk& disk, const std::string& metadata) {
  std::vector<std::byte> content(10 * kMiB);
  PutLabel(content, DiskId(0));
  PutText(content, Area::kFirst, metadata);
  WriteAt(disk.path(), kMiB, content);
}

TEST(Disk, LinearLogicalVolumesStandInThePlaceOfTheirPhysicalVolume) {
  TestDisk disk(kGptScript);
  AddPhysicalVolume(disk,
                    GroupText(1, VolumeText("root", {{1, 0, 2, "pv0", 6}, {2, 2, 1, "pv0", 0}})));
  disk.AddExt4({11 * kMiB, 32 * kMiB});
  const auto read = ReadDisk(disk.sync());
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->partitions.size(), 2u);
  ASSERT_EQ(read->volumes.size(), 2u);
  EXPECT_EQ(DescribeVolumes(*read),
            "2: an ext2/3/4 file system (32.0 MiB); vg0/root: nothing (192.0 KiB)");
  const auto picked = PickVolume(*read, VolumeId{0, "vg0/root"});
  ASSERT_TRUE(picked) << picked.error().message;
  EXPECT_EQ(picked->pieces, (std::vector<ByteRange>{{kMiB + (512 << 10), 128 << 10},
                                                    {kMiB + (128 << 10), 64 << 10}}));
  const auto missing = PickVolume(*read, VolumeId{0, "vg0/var"});
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message.find("no logical volume vg0/var"), std::string::npos);
}

TEST(Disk, APhysicalVolumeThatIsNotUnderstoodSaysWhy) {
  TestDisk disk(kGptScript);
  SegmentText thin{1, 0, 2};
  thin.type = "thin-pool";
  AddPhysicalVolume(disk, GroupText(1, VolumeText("pool", {thin})));
  const auto read = ReadDisk(disk.sync());
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_EQ(read->volumes.size(), 2u);
  EXPECT_EQ(read->volumes[0].kind, VolumeKind::kLvm);
  EXPECT_NE(DescribeVolumes(*read).find("vg0/pool is thin-pool"), std::string::npos);
}

TEST(Disk, WhatIsInNoVolumeIsOneVolumeOfItsOwn) {
  TestDisk disk(kGptScript);
  const auto read = ReadDisk(disk.sync());
  ASSERT_TRUE(read);
  const DiskVolume outside = SpaceOutside(*read, 64 * kMiB);
  EXPECT_EQ(outside.kind, VolumeKind::kOutside);
  EXPECT_EQ(outside.pieces, (std::vector<ByteRange>{{0, kMiB}, {43 * kMiB, 21 * kMiB}}));
  TestDisk bare("");
  const auto whole = ReadDisk(bare.sync());
  ASSERT_TRUE(whole);
  EXPECT_TRUE(SpaceOutside(*whole, 64 * kMiB).pieces.empty());
}

TEST(Disk, NamesOfVolumesMakeNamesOfFiles) {
  EXPECT_EQ((VolumeId{3, {}}.FileKey()), "p3");
  EXPECT_EQ((VolumeId{0, "vg0/root"}.FileKey()), "lv-vg0-root");
  EXPECT_NE((VolumeId{0, "a-b/c"}.FileKey()), (VolumeId{0, "a/b-c"}.FileKey()));
}

struct Signature {
  uint64_t offset;
  std::string bytes;
  VolumeKind kind;
};

TEST(Disk, RecognisesForeignVolumes) {
  const Signature signatures[] = {
      {0, std::string("LUKS\xba\xbe", 6), VolumeKind::kLuks},
      {3, "NTFS    ", VolumeKind::kNtfs},
      {0, "XFSB", VolumeKind::kXfs},
      {0x10040, "_BHRfS_M", VolumeKind::kBtrfs},
      {82, "FAT32   ", VolumeKind::kFat},
      {512 + 24, "LVM2 001", VolumeKind::kLvm},
      {4086, "SWAPSPACE2", VolumeKind::kSwap},
      {4086, std::string("S1SUSPEND\0", 10), VolumeKind::kHibernation},
      {3, "-FVE-FS-", VolumeKind::kBitLocker},
      {7, "nothing known", VolumeKind::kUnknown},
  };
  for (const Signature& signature : signatures) {
    TestDisk disk("");
    WriteAt(disk.path(), signature.offset, AsBytes(signature.bytes));
    const auto read = ReadDisk(disk.sync());
    ASSERT_TRUE(read) << read.error().message;
    ASSERT_EQ(read->volumes.size(), 1u);
    EXPECT_EQ(read->volumes[0].kind, signature.kind) << signature.bytes;
    const auto picked = PickVolume(*read, std::nullopt);
    ASSERT_FALSE(picked);
    EXPECT_NE(picked.error().message.find(VolumeKindName(signature.kind)), std::string::npos);
  }
}

}  // namespace
}  // namespace mica::guest::testing
