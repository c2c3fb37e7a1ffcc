// SPDX-License-Identifier: Apache-2.0
// Journals written by debugfs, in every form it can write, replayed here and by e2fsck.
#include "tools/guest/ext4/journal.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>

#include "engine/base/prng.h"
#include "tools/guest/ext4/journal_format.h"
#include "tools/guest/ext4/superblock.h"
#include "tools/guest/ext4/writer_test_support.h"
#include "tools/guest/overlay_device.h"

namespace mica::guest::testing {
namespace {

constexpr uint64_t kBlockBytes = 1024;
constexpr uint64_t kTarget = 12000;  // free blocks of the test file systems

struct JournalForm {
  std::string name;
  std::string mkfs;
  std::string open;     // debugfs journal_open arguments
  std::string feature;  // that the journal must have, as dumpe2fs names it
};
void PrintTo(const JournalForm& form, std::ostream* out) {
  *out << form.name;
}

// A file system of 1 KiB blocks with a journal that holds three transactions: data (one block of it
// starting with the journal's magic number), data again, and a revoke of the first.
class JournalImage {
 public:
  explicit JournalImage(const JournalForm& form) : image_(scratch_.Path("fs.img")) {
    MakeFs(image_, {form.name, form.mkfs + " -b 1024", 32 << 20});
    std::string data = Pattern(1, 3 * kBlockBytes);
    data.replace(kBlockBytes, 4, "\xc0\x3b\x39\x98");
    std::ofstream(scratch_.Path("one"), std::ios::binary) << data;
    std::ofstream(scratch_.Path("two"), std::ios::binary) << Pattern(2, 40 * kBlockBytes);
    Debugfs(image_, fmt::format("jo {}\njw -b {}-{} {}\njw -b {}-{} {}\njw -r {}\njc", form.open,
                                kTarget, kTarget + 2, scratch_.Path("one"), kTarget + 10,
                                kTarget + 49, scratch_.Path("two"), kTarget + 2));
  }

  [[nodiscard]] const std::string& path() const { return image_; }
  [[nodiscard]] std::string Path(const std::string& leaf) const { return scratch_.Path(leaf); }

 private:
  ScratchFolder scratch_;
  std::string image_;
};

Result<JournalReplay> ReplayFile(const std::string& path) {
  MemoryLoop loop;
  FileDevice device(path);
  SyncDevice sync(loop, device);
  return ReplayJournal(sync);
}

std::vector<std::byte> BlockOf(const std::string& path, uint64_t block) {
  MemoryLoop loop;
  FileDevice device(path);
  SyncDevice sync(loop, device);
  std::vector<std::byte> data(kBlockBytes);
  EXPECT_TRUE(sync.Read(block * kBlockBytes, data));
  return data;
}

// Bytes on the device of a block of the journal's file.
uint64_t JournalPlace(const std::string& path, uint64_t block) {
  const std::string text = OutputOf(fmt::format("debugfs -R 'bmap <8> {}' {}", block, path));
  return std::stoull(text.substr(text.find('\n') + 1)) * kBlockBytes;
}

class JournalFormTest : public ::testing::TestWithParam<JournalForm> {};

TEST_P(JournalFormTest, ReplaysWhatE2fsckReplays) {
  const JournalImage image(GetParam());
  const std::string features = OutputOf("dumpe2fs -h " + image.path());
  EXPECT_NE(features.find(GetParam().feature), std::string::npos) << features;
  const std::string reference = image.Path("reference.img");
  CopyImage(image.path(), reference);
  OutputOf("e2fsck -fy -E journal_only " + reference);

  const auto replay = ReplayFile(image.path());
  ASSERT_TRUE(replay) << replay.error().message;
  EXPECT_EQ(replay->transactions, 3u);
  EXPECT_EQ(replay->blocks_written, 42u);
  EXPECT_EQ(replay->blocks_revoked, 1u);
  for (uint64_t block = kTarget; block < kTarget + 50; ++block) {
    EXPECT_EQ(BlockOf(image.path(), block), BlockOf(reference, block)) << block;
  }
  const std::string second = Pattern(2, 40 * kBlockBytes);
  EXPECT_EQ(AsText(BlockOf(image.path(), kTarget + 49)), second.substr(39 * kBlockBytes));
  // The magic number that was escaped is back.
  EXPECT_EQ(LoadBe<uint32_t>(BlockOf(image.path(), kTarget + 1), 0), 0xc03b3998u);
  ExpectClean(image.path());
  // Nothing is left to do.
  const auto again = ReplayFile(image.path());
  ASSERT_TRUE(again);
  EXPECT_EQ(again->transactions, 0u);
}

TEST_P(JournalFormTest, AVolumeIsRefusedUntilItsJournalIsReplayedIntoAnOverlay) {
  const JournalImage image(GetParam());
  MemoryLoop loop;
  FileDevice device(image.path());
  SyncDevice sync(loop, device);
  const auto refused = Ext4Volume::Open(sync, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kBusy);

  const auto before = BlockOf(image.path(), kTarget);
  OverlayDevice overlay(device);
  SyncDevice view(loop, overlay);
  ASSERT_TRUE(ReplayJournal(view));
  EXPECT_TRUE(Ext4Volume::Open(view, {}));
  std::vector<std::byte> block(kBlockBytes);
  ASSERT_TRUE(view.Read(kTarget * kBlockBytes, block));
  EXPECT_EQ(AsText(block), Pattern(1, 3 * kBlockBytes).substr(0, kBlockBytes));
  EXPECT_EQ(BlockOf(image.path(), kTarget), before);
  EXPECT_FALSE(overlay.OverlaidRanges().empty());
}

INSTANTIATE_TEST_SUITE_P(
    Forms, JournalFormTest,
    ::testing::Values(
        JournalForm{"V1Tags", "-t ext3", "", ""},
        JournalForm{"V1Tags64Bit", "-t ext4 -O ^metadata_csum,64bit", "", "journal_64bit"},
        JournalForm{"ChecksumV2", "-t ext4 -O ^64bit", "-c -v 2", "journal_checksum_v2"},
        JournalForm{"ChecksumV2With64Bit", "-t ext4 -O 64bit", "-c -v 2", "journal_checksum_v2"},
        JournalForm{"ChecksumV3", "-t ext4 -O 64bit", "-c -v 3", "journal_checksum_v3"},
        JournalForm{"ChecksumV3Narrow", "-t ext4 -O ^64bit", "-c -v 3", "journal_checksum_v3"}),
    [](const auto& test) { return test.param.name; });

const JournalForm kV3{"ChecksumV3", "-t ext4 -O 64bit", "-c -v 3", "journal_checksum_v3"};

TEST(Journal, AnUncommittedLastTransactionIsNotReplayed) {
  const JournalImage image(kV3);
  // The commit block of the second transaction: descriptor, 3 data, commit, descriptor, 40 data,
  // commit.
  const std::vector<std::byte> zeroes(kBlockBytes);
  const uint64_t commit = JournalPlace(image.path(), 1 + 5 + 41);
  std::vector<std::byte> old = BlockOf(image.path(), commit / kBlockBytes);
  ASSERT_EQ(ParseJournalHeader(old)->type, JournalBlockType::kCommit);
  WriteAt(image.path(), commit, zeroes);
  const auto replay = ReplayFile(image.path());
  ASSERT_TRUE(replay) << replay.error().message;
  EXPECT_EQ(replay->transactions, 1u);
  EXPECT_EQ(replay->blocks_written, 3u);
}

TEST(Journal, ADamagedCopyOfABlockIsAnError) {
  const JournalImage image(kV3);
  const std::byte junk[] = {std::byte{0x55}};
  WriteAt(image.path(), JournalPlace(image.path(), 3) + 100, junk);
  const auto replay = ReplayFile(image.path());
  ASSERT_FALSE(replay);
  EXPECT_EQ(replay.error().code, Errc::kCorrupt);
  EXPECT_NE(replay.error().message.find(fmt::format("block {}", kTarget + 1)), std::string::npos)
      << replay.error().message;
}

TEST(Journal, ADamagedDescriptorOfACommittedTransactionIsAnError) {
  const JournalImage image(kV3);
  const std::byte junk[] = {std::byte{0x55}};
  WriteAt(image.path(), JournalPlace(image.path(), 1) + 500, junk);
  const auto replay = ReplayFile(image.path());
  ASSERT_FALSE(replay);
  EXPECT_EQ(replay.error().code, Errc::kCorrupt);
}

// Without checksums every field can be set to anything.
const JournalForm kPlain{"Plain", "-t ext3", "", ""};

TEST(HostileJournal, WildBlockNumbersAreAnError) {
  const JournalImage image(kPlain);
  std::byte wild[4];
  StoreBe(Bytes(wild), 0, 0x7fffffffu);
  WriteAt(image.path(), JournalPlace(image.path(), 1) + 12, wild);
  const auto replay = ReplayFile(image.path());
  ASSERT_FALSE(replay);
  EXPECT_EQ(replay.error().code, Errc::kCorrupt);
}

TEST(HostileJournal, ALogThatBitesItsTailEnds) {
  const JournalImage image(kPlain);
  // Every block of the log becomes a revoke block of the expected transaction.
  std::vector<std::byte> revoke(kBlockBytes);
  StoreBe(Bytes(revoke), 0, 0xc03b3998u);
  StoreBe(Bytes(revoke), 4, 5u);
  StoreBe(Bytes(revoke), 8,
          LoadBe<uint32_t>(BlockOf(image.path(), JournalPlace(image.path(), 1) / kBlockBytes), 8));
  StoreBe(Bytes(revoke), 12, 16u);
  const auto blocks =
      LoadBe<uint32_t>(BlockOf(image.path(), JournalPlace(image.path(), 0) / kBlockBytes), 16);
  const uint64_t second = JournalPlace(image.path(), 2);
  const uint64_t first = JournalPlace(image.path(), 1);
  ASSERT_EQ(second, first + kBlockBytes);  // in a row, so that the rest can be computed
  const uint64_t last = JournalPlace(image.path(), blocks - 1);
  for (uint64_t at = first; at <= last; at += kBlockBytes) WriteAt(image.path(), at, revoke);
  const auto replay = ReplayFile(image.path());
  ASSERT_FALSE(replay);
  EXPECT_EQ(replay.error().code, Errc::kCorrupt);
}

TEST(HostileJournal, HugeCountsInTheSuperblockAreAnError) {
  for (const size_t field : {16u, 20u, 28u}) {  // length, first block, start
    const JournalImage image(kPlain);
    std::byte huge[4];
    StoreBe(Bytes(huge), 0, 0xfffffff0u);
    WriteAt(image.path(), JournalPlace(image.path(), 0) + field, huge);
    const auto replay = ReplayFile(image.path());
    ASSERT_FALSE(replay) << field;
    EXPECT_EQ(replay.error().code, Errc::kCorrupt);
  }
}

TEST(HostileJournal, RandomDamageNeverDoesMoreThanFail) {
  const uint64_t seed = std::getenv("MICA_SEED") != nullptr
                            ? std::strtoull(std::getenv("MICA_SEED"), nullptr, 10)
                            : 1;
  SCOPED_TRACE(fmt::format("MICA_SEED={}", seed));
  for (const JournalForm& form : {kPlain, kV3}) {
    const JournalImage image(form);
    Prng prng(seed);
    const uint64_t first = JournalPlace(image.path(), 0);
    MemoryLoop loop;
    FileDevice device(image.path());
    for (int round = 0; round < 300; ++round) {
      OverlayDevice overlay(device);
      SyncDevice sync(loop, overlay);
      for (uint64_t i = 1 + prng.Below(6); i > 0; --i) {
        const std::byte value[] = {static_cast<std::byte>(prng.Next())};
        ASSERT_TRUE(sync.Write(first + prng.Below(50 * kBlockBytes), value));
      }
      const auto replay = ReplayJournal(sync);
      if (!replay) {
        EXPECT_FALSE(replay.error().message.empty());
      }
    }
  }
}

TEST(Journal, FastCommitsAreRefusedAndStaleOnesIgnored) {
  ScratchFolder scratch;
  const std::string image = scratch.Path("fs.img");
  MakeFs(image, {"FastCommit", "-t ext4 -b 1024 -O fast_commit", 64 << 20});
  std::ofstream(scratch.Path("one"), std::ios::binary) << Pattern(1, kBlockBytes);
  Debugfs(image, fmt::format("jo\njw -b {} {}\njc", kTarget, scratch.Path("one")));
  // debugfs knows no fast commits: what the kernel would set at mount is set by hand.
  const uint64_t place = JournalPlace(image, 0);
  auto superblock = BlockOf(image, place / kBlockBytes);
  const auto features = LoadBe<uint32_t>(superblock, 40);
  ASSERT_EQ(features & 0x18, 0u);  // no checksums
  constexpr uint32_t kFastBlocks = 256;
  StoreBe(Bytes(superblock), 40, features | 0x20);
  StoreBe(Bytes(superblock), 84, kFastBlocks);
  WriteAt(image, place, superblock);
  const auto sequence = LoadBe<uint32_t>(superblock, 24);
  const uint64_t area = JournalPlace(image, LoadBe<uint32_t>(superblock, 16) - kFastBlocks);
  std::vector<std::byte> head(16);
  StoreLe(Bytes(head), 0, uint16_t{9});
  StoreLe(Bytes(head), 2, uint16_t{8});
  StoreLe(Bytes(head), 8, sequence + 1);  // one transaction is in the log
  WriteAt(image, area, head);
  const auto refused = ReplayFile(image);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kUnsupported);
  EXPECT_NE(refused.error().message.find("fast commit"), std::string::npos);
  StoreLe(Bytes(head), 8, sequence);
  WriteAt(image, area, head);
  const auto replay = ReplayFile(image);
  ASSERT_TRUE(replay) << replay.error().message;
  EXPECT_EQ(replay->transactions, 1u);
}

}  // namespace
}  // namespace mica::guest::testing
