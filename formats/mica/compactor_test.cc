// SPDX-License-Identifier: Apache-2.0
// Compacting: the file gets as small as what it holds, whatever lies where, also while it is used.
#include "engine/async/when_all.h"
#include "engine/snapshot_control.h"
#include "formats/mica/mica_layer.h"
#include "formats/mica/testing/image_fixture.h"

namespace mica {
namespace {

using testing::kMiB;

class Compact : public testing::ImageFixture {
 protected:
  SpaceControl& Space() { return *chain_->layer(0).controls().space; }
  CompactReport Run() {
    Result<CompactReport> report = SyncWait(
        loop_, Space().Compact([this](const CompactProgress& progress) { seen_ = progress; }));
    EXPECT_TRUE(report) << report.error().message;
    return report.value_or(CompactReport{});
  }
  // 24 MiB of which every other 64 KiB are trimmed: no run is long enough to be punched.
  void MakeScattered() {
    for (uint64_t i = 0; i < 24; ++i) Write(i * kMiB, kMiB, i);
    Flush();
    for (uint64_t at = 0; at < 24 * kMiB; at += 128 * 1024) Discard({at, 64 * 1024});
    Flush();
  }
  void ExpectScattered() {
    for (uint64_t i = 0; i < 24; ++i) {
      std::vector<std::byte> data(kMiB);
      ASSERT_TRUE(SyncWait(loop_, chain_->Read(i * kMiB, data)));
      std::vector<std::byte> expected = testing::RandomData(kMiB, i);
      for (uint64_t at = 0; at < kMiB; at += 128 * 1024) {
        std::fill_n(expected.begin() + static_cast<ptrdiff_t>(at), 64 * 1024, std::byte{0});
      }
      ASSERT_TRUE(data == expected) << "MiB " << i;
    }
  }
  // Of every block that is stored.
  std::vector<uint32_t> Epochs() {
    OpenOptions options;
    options.lock = FileLock::kShared;
    const auto open = SyncWait(loop_, native::OpenMicaFile(host_, "/d", options)).value();
    std::vector<uint32_t> epochs;
    for (uint64_t block = 0; block < open->image.map.block_count();) {
      const auto found = SyncWait(loop_, open->image.map.Find(block)).value();
      if (found.kind == native::BlockMap::Found::Kind::kLeaf) {
        found.leaf->ForEach([&](uint32_t, const native::LeafEntry& entry) {
          if (native::IsPlace(entry.slot)) epochs.push_back(entry.epoch);
        });
      }
      block = found.end_block;
    }
    return epochs;
  }

  Async<void> CompactQuietly() {
    std::function<void(const CompactProgress&)> nobody;
    CO_TRY(co_await Space().Compact(std::move(nobody)));
    co_return Result<void>();
  }
  Async<void> Rewrite(uint64_t offset, uint64_t seed) {
    const std::vector<std::byte> data = testing::RandomData(192 * 1024, seed);
    for (uint64_t turns = seed % 24 * 5; turns > 0; --turns) co_await loop_.Yield();
    CO_TRY(co_await chain_->Write(offset, data, Durability::kForced));
    co_return Result<void>();
  }

  CompactProgress seen_;
};

TEST_F(Compact, AScatteredFileGetsSmall) {
  Create(64 * kMiB);
  Open();
  MakeScattered();
  Close();
  const uint64_t before = FileBytes();
  EXPECT_GT(before, 24 * kMiB);
  const std::vector<uint32_t> epochs = Epochs();
  Open();
  const CompactReport report = Run();
  EXPECT_LT(FileBytes(), 15 * kMiB);
  EXPECT_EQ(report.file_bytes_before, before);
  EXPECT_EQ(report.file_bytes_after, FileBytes());
  EXPECT_GT(report.moved_bytes, 5 * kMiB);
  EXPECT_EQ(seen_.moved_bytes, report.moved_bytes);
  ExpectScattered();
  Close();
  EXPECT_LT(FileBytes(), 15 * kMiB);
  EXPECT_EQ(Epochs(), epochs) << "changed-block tracking must not see it";
  EXPECT_EQ(Check().corruptions, 0u);
  Open();
  ExpectScattered();
  const CompactReport again = Run();
  EXPECT_LT(again.moved_bytes, kMiB);
  Close();
}

TEST_F(Compact, ALogAtTheEndMovesToo) {
  Create(64 * kMiB, {{"log_size", "32768"}, {"log_size_max", "524288"}});
  Open();
  for (uint64_t round = 0; round < 3; ++round) {  // it grows to its limit, behind the data
    for (uint64_t i = 0; i < 24; ++i) {
      Write(i * kMiB, kMiB, round * 24 + i);
      Flush();
    }
  }
  for (uint64_t at = 0; at < 22 * kMiB; at += kMiB) Discard({at, kMiB - 4096});
  Close();
  Open();
  Run();
  Expect(23 * kMiB, kMiB, 2 * 24 + 23);
  Close();
  EXPECT_LT(FileBytes(), 5 * kMiB);
  EXPECT_EQ(Check().corruptions, 0u);
}

TEST_F(Compact, WhatSnapshotsHoldStaysWhereItIs) {
  Create(64 * kMiB);
  Open();
  MakeScattered();
  SnapshotControl& snapshots = *chain_->layer(0).controls().snapshots;
  ASSERT_TRUE(SyncWait(loop_, snapshots.Create("kept")));
  for (uint64_t i = 24; i < 40; ++i) Write(i * kMiB, kMiB, i);
  Flush();
  for (uint64_t at = 24 * kMiB; at < 40 * kMiB; at += 128 * 1024) Discard({at, 64 * 1024});
  Flush();
  const CompactReport first = Run();
  EXPECT_GT(first.moved_bytes, 2 * kMiB);
  EXPECT_LT(FileBytes(), 26 * kMiB) << "the snapshot lies in the first 25 MiB";
  ExpectScattered();
  const SpaceUsage usage = SyncWait(loop_, Space().Usage()).value();
  EXPECT_EQ(usage.own_bytes, 20 * kMiB);
  Close();
  EXPECT_EQ(Check().corruptions, 0u);
  OpenChainOptions options;
  options.snapshot = "kept";
  chain_ = SyncWait(loop_, OpenChain(host_, "/d", options)).value();
  ExpectScattered();
  Drop();
  Open();
  ASSERT_TRUE(SyncWait(loop_, chain_->layer(0).controls().snapshots->Delete("kept")));
  Discard({0, 24 * kMiB});
  Flush();
  Run();
  Close();
  EXPECT_LT(FileBytes(), 11 * kMiB);
  EXPECT_EQ(Check().corruptions, 0u);
}

TEST_F(Compact, GuestsGoOnMeanwhile) {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    Create(64 * kMiB);
    Open();
    MakeScattered();
    host_.faults().DelayCalls(seed, 4);
    std::vector<Async<void>> work;
    work.push_back(CompactQuietly());
    for (uint64_t i = 0; i < 24; ++i) work.push_back(Rewrite(i * kMiB, seed * 1000 + i));
    const Result<void> done = SyncWait(loop_, WhenAll(loop_, std::move(work)));
    ASSERT_TRUE(done) << done.error().message;
    host_.faults().DelayCalls(0, 0);
    for (uint64_t i = 0; i < 24; ++i) Expect(i * kMiB, 192 * 1024, seed * 1000 + i);
    Drop();
    Open();
    for (uint64_t i = 0; i < 24; ++i) Expect(i * kMiB, 192 * 1024, seed * 1000 + i);
    Close();
    ASSERT_EQ(Check().corruptions, 0u) << seed;
    ASSERT_TRUE(SyncWait(loop_, host_.Remove("/d")));
  }
}

TEST_F(Compact, TakesLittleSpaceAndStopsWhereThereIsNone) {
  Create(64 * kMiB);
  Open();
  MakeScattered();
  Close();
  host_.disk().SetSpaceLimit(host_.disk().used_bytes() + 300 * 4096);
  Open();
  Run();
  ExpectScattered();
  Close();
  EXPECT_LT(FileBytes(), 16 * kMiB);
  EXPECT_EQ(Check().corruptions, 0u);
}

}  // namespace
}  // namespace mica
