// SPDX-License-Identifier: Apache-2.0
// Superblock, log pages, leaves, regions and root blocks: what is encoded decodes to the same, and
// nothing else passes for it.
#include <gtest/gtest.h>

#include <functional>

#include "engine/base/prng.h"
#include "formats/mica/log_page.h"
#include "formats/mica/region_codec.h"
#include "formats/mica/superblock.h"

namespace mica::native {
namespace {

using Data = std::vector<std::byte>;

Superblock SampleSuperblock() {
  Superblock superblock;
  superblock.sequence = 77;
  superblock.uuid = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
  superblock.virtual_size = (uint64_t{3} << 40) + 1;
  superblock.sealed = true;
  superblock.epoch = 9;
  superblock.log = {2, 256};
  superblock.log_tail_sequence = 1000;
  superblock.log_tail_index = 200;
  superblock.log_tail_previous_hash = 0xabcdef;
  superblock.high_water = 5000;
  superblock.seal_digest[3] = 8;
  LayerIdentity identity;
  identity.uuid[0] = 42;
  identity.digest[15] = 43;
  identity.virtual_size = 44;
  superblock.parent = ParentReference{"../masters/debian.raw", "raw", identity};
  superblock.roots[5] = RootPointer{400, 8, 0x1234567890};
  superblock.snapshot_table = {700, 3, 0x77, 120};
  superblock.kept_epoch = 8;
  superblock.parent_bytes = uint64_t{1} << 40;
  superblock.quota_soft = 1000;
  superblock.quota_hard = 2000;
  superblock.history.AddResize(2, uint64_t{1} << 40);
  superblock.history.AddResize(5, uint64_t{2} << 40);
  superblock.history.AddRevert(6, 7);
  return superblock;
}

TEST(Superblock, RoundTrips) {
  Superblock plain;
  plain.log = {2, 8};
  plain.high_water = 10;
  for (const Superblock& superblock : {SampleSuperblock(), plain}) {
    Data block(kSlotBytes);
    EncodeSuperblock(superblock, block);
    const Superblock back = DecodeSuperblock(block).value();
    Data again(kSlotBytes);
    EncodeSuperblock(back, again);
    EXPECT_EQ(again, block);
    EXPECT_EQ(back.virtual_size, superblock.virtual_size);
    EXPECT_EQ(back.roots, superblock.roots);
    EXPECT_EQ(back.snapshot_table, superblock.snapshot_table);
    EXPECT_EQ(back.kept_epoch, superblock.kept_epoch);
    EXPECT_EQ(back.parent_bytes, superblock.parent_bytes);
    EXPECT_EQ(back.quota_soft, superblock.quota_soft);
    EXPECT_EQ(back.quota_hard, superblock.quota_hard);
    EXPECT_EQ(back.history, superblock.history);
    ASSERT_EQ(back.parent.has_value(), superblock.parent.has_value());
    if (!back.parent) continue;
    EXPECT_EQ(back.parent->path, superblock.parent->path);
    EXPECT_EQ(back.parent->format, superblock.parent->format);
    EXPECT_EQ(back.parent->identity, superblock.parent->identity);
  }
}

TEST(Superblock, TheNewerOneIsChosenAndANewFormatIsNotPassedOver) {
  Data first(kSlotBytes);
  Data second(kSlotBytes);
  Superblock superblock = SampleSuperblock();
  EncodeSuperblock(superblock, first);
  superblock.sequence = 78;
  EncodeSuperblock(superblock, second);
  EXPECT_EQ(ChooseSuperblock(first, second)->position, 1u);
  EXPECT_EQ(ChooseSuperblock(second, first)->position, 0u);
  second[500] ^= std::byte{1};
  EXPECT_EQ(ChooseSuperblock(first, second)->position, 0u);
  first[500] ^= std::byte{1};
  EXPECT_EQ(ChooseSuperblock(first, second).error().code, Errc::kCorrupt);
  superblock.incompat_features = 1;
  EncodeSuperblock(superblock, second);
  EncodeSuperblock(SampleSuperblock(), first);
  EXPECT_EQ(ChooseSuperblock(first, second).error().code, Errc::kUnsupported);
}

TEST(Superblock, SnapshotFieldsThatContradictEachOtherAreRefused) {
  const auto refused = [](const std::function<void(Superblock&)>& spoil) {
    Superblock superblock = SampleSuperblock();
    spoil(superblock);
    Data block(kSlotBytes);
    EncodeSuperblock(superblock, block);
    const Result<Superblock> back = DecodeSuperblock(block);
    return !back && back.error().code == Errc::kCorrupt;
  };
  EXPECT_FALSE(refused([](Superblock&) {}));
  EXPECT_TRUE(refused([](Superblock& s) { s.kept_epoch = s.epoch; }));
  EXPECT_TRUE(refused([](Superblock& s) { s.kept_epoch = 0; }));
  EXPECT_TRUE(refused([](Superblock& s) { s.snapshot_table = {}; }));
  EXPECT_TRUE(refused([](Superblock& s) { s.snapshot_table.slot = 1; }));
  EXPECT_TRUE(refused([](Superblock& s) { s.snapshot_table.slot = s.high_water; }));
  EXPECT_TRUE(refused([](Superblock& s) { s.snapshot_table.slots = kSnapshotTableSlotsMax + 1; }));
  EXPECT_TRUE(refused([](Superblock& s) { s.snapshot_table.snapshots = kSnapshotsMax + 1; }));
  EXPECT_TRUE(refused([](Superblock& s) { s.parent_bytes = s.virtual_size + 1; }));
  EXPECT_TRUE(refused([](Superblock& s) { s.quota_soft = s.quota_hard + 1; }));
  EXPECT_TRUE(refused([](Superblock& s) { s.history.AddResize(s.epoch, 5); }));
  EXPECT_TRUE(refused([](Superblock& s) { s.history.AddResize(6, kVirtualSizeMax + 1); }));
  EXPECT_TRUE(refused([](Superblock& s) { s.history.AddRevert(8, s.epoch); }));
}

TEST(Superblock, LongParentPathsAreRefused) {
  ParentReference parent{std::string(kParentPathMax, 'x'), "mica", std::nullopt};
  EXPECT_TRUE(CheckParent(parent).has_value());
  parent.path += 'x';
  EXPECT_EQ(CheckParent(parent).error().code, Errc::kLimit);
}

// What the records say, block by block.
std::vector<std::pair<uint64_t, std::pair<Slot, BlockDigest>>> Flatten(const RecordBatch& batch) {
  std::vector<std::pair<uint64_t, std::pair<Slot, BlockDigest>>> flat;
  for (const LogRecord& record : batch.records) {
    const bool data = record.kind == RecordKind::kData;
    for (uint32_t i = 0; i < record.block_count; ++i) {
      const Slot slot = data ? record.first_slot + i : static_cast<Slot>(record.kind);
      const BlockDigest digest = data ? batch.digests[record.first_digest + i] : 0;
      flat.push_back({record.first_block + i, {slot, digest}});
    }
  }
  return flat;
}

TEST(LogPage, AnyBatchRoundTripsWithinItsEstimate) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Prng prng(seed);
    RecordBatch batch;
    for (uint64_t i = prng.Below(400); i > 0; --i) {
      const uint64_t block = prng.Below(1 << 20);
      if (prng.OneIn(5)) {
        batch.AddState(static_cast<RecordKind>(2 + prng.Below(3)), block, 1 + prng.Below(100));
        continue;
      }
      std::vector<BlockDigest> digests(1 + (prng.OneIn(20) ? prng.Below(2000) : prng.Below(3)));
      for (BlockDigest& digest : digests) digest = prng.Next();
      batch.AddData(block, static_cast<Slot>(2 + prng.Below(1 << 20)), digests);
    }
    LogPageHeader header{7, 100, 3, 99, 5};
    uint64_t last_hash = 0;
    const AlignedBuffer pages = EncodeLogPages(batch, header, last_hash);
    ASSERT_LE(pages.size() / kSlotBytes, batch.PagesMax());
    RecordBatch back;
    uint64_t previous = 3;
    for (size_t at = 0; at < pages.size(); at += kSlotBytes) {
      const LogPage page =
          DecodeLogPage(pages.span().subspan(at, kSlotBytes), uint64_t{1} << 40).value();
      EXPECT_EQ(page.header.sequence, 100 + at / kSlotBytes);
      EXPECT_EQ(page.header.previous_hash, previous);
      previous = page.hash;
      back.Append(page.batch);
    }
    EXPECT_EQ(previous, last_hash);
    EXPECT_EQ(Flatten(back), Flatten(batch));
  }
}

TEST(LogPage, RecordsOutsideTheDiskAreRefused) {
  RecordBatch batch;
  batch.AddState(RecordKind::kZero, 100, 50);
  uint64_t last_hash = 0;
  const AlignedBuffer page = EncodeLogPages(batch, LogPageHeader{}, last_hash);
  EXPECT_TRUE(DecodeLogPage(page.span(), 150).has_value());
  EXPECT_FALSE(DecodeLogPage(page.span(), 149).has_value());
}

TEST(RecordBatch, NeighboursBecomeOneRecord) {
  RecordBatch batch;
  const std::vector<BlockDigest> two = {1, 2};
  batch.AddData(10, 100, two);
  batch.AddData(12, 102, two);
  batch.AddState(RecordKind::kZero, 5, 1);
  batch.AddState(RecordKind::kZero, 6, 3);
  ASSERT_EQ(batch.records.size(), 2u);
  EXPECT_EQ(batch.records[0].block_count, 4u);
  EXPECT_EQ(batch.records[1].block_count, 4u);
}

Leaf SampleLeaf(uint64_t seed, uint32_t entries) {
  Prng prng(seed);
  Leaf leaf;
  while (leaf.present() < entries) {
    const auto slot = static_cast<Slot>(prng.OneIn(4) ? kSlotZero : 2 + prng.Below(1000));
    leaf.Set(static_cast<uint32_t>(prng.Below(kBlocksPerLeaf)), {slot, 3, prng.Next()});
  }
  return leaf;
}

void ExpectEqual(const Leaf& a, const Leaf& b) {
  EXPECT_EQ(a.present(), b.present());
  for (uint32_t i = 0; i < kBlocksPerLeaf; ++i) EXPECT_EQ(a.Get(i), b.Get(i)) << i;
}

TEST(Leaf, BehavesLikeAnArrayInEveryShape) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Prng prng(seed);
    Leaf leaf;
    std::array<LeafEntry, kBlocksPerLeaf> model{};
    for (int step = 0; step < 3000; ++step) {
      const auto index = static_cast<uint32_t>(prng.Below(kBlocksPerLeaf));
      if (prng.OneIn(300)) {
        const LeafEntry entry{prng.OneIn(2) ? kSlotZero : kSlotAbsent, 0, 0};
        const auto begin = prng.OneIn(2) ? 0 : index;
        leaf.SetRange(begin, kBlocksPerLeaf, entry);
        std::fill(model.begin() + begin, model.end(), entry);
        continue;
      }
      LeafEntry entry;
      if (!prng.OneIn(step % 1000 < 500 ? 10 : 2)) entry = {static_cast<Slot>(2 + index), 1, index};
      leaf.Set(index, entry);
      model[index] = entry;
    }
    for (uint32_t i = 0; i < kBlocksPerLeaf; ++i) ASSERT_EQ(leaf.Get(i), model[i]);
    uint32_t visited = 0;
    leaf.ForEach([&](uint32_t index, const LeafEntry& entry) {
      EXPECT_EQ(entry, model[index]);
      ++visited;
    });
    EXPECT_EQ(visited, leaf.present());
  }
}

TEST(RegionCodec, ADenseLeafRoundTrips) {
  for (const uint32_t entries : {0u, 1u, 200u, 512u}) {
    const Leaf leaf = SampleLeaf(entries + 1, entries);
    Data bytes(kDenseLeafBytes);
    EncodeDenseLeaf(leaf, bytes);
    ExpectEqual(*DecodeDenseLeaf(bytes).value(), leaf);
  }
}

TEST(RegionCodec, ARegionInPiecesRoundTrips) {
  std::vector<RegionItem> items;
  size_t bytes = 0;
  Leaf zeroes;
  zeroes.SetRange(0, kBlocksPerLeaf, {kSlotZero, 4, 0});
  for (uint32_t i = 0; i < kLeavesPerRegion; ++i) {
    RegionItem item;
    item.leaf_index = i;
    if (i % 3 == 0) {
      item.dense = {i + 100, i + 500, i + 3, i};
    } else {
      item.leaf = std::make_shared<Leaf>(i % 50 < 10 ? zeroes : SampleLeaf(i, kSparseMax));
    }
    bytes += item.leaf == nullptr ? kDenseItemBytes : EncodedItemBytes(*item.leaf);
    items.push_back(item);
  }
  std::vector<SlotRun> runs;
  for (uint32_t i = 0; i < RegionSlots(bytes); ++i) runs.push_back({1000 + 2 * i, 1});
  const AlignedBuffer region = EncodeRegion({0x99, 7, 5}, items, runs);
  const std::vector<SlotRun> more = DecodeRegionRuns(region.span().first(kSlotBytes), 1).value();
  EXPECT_EQ(more, std::vector<SlotRun>(runs.begin() + 1, runs.end()));
  const RegionContent content = DecodeRegion(region.span(), 0x99, 7).value();
  EXPECT_EQ(content.birth, 5u);
  const std::vector<RegionItem>& back = content.items;
  ASSERT_EQ(back.size(), items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    EXPECT_EQ(back[i].leaf_index, items[i].leaf_index);
    EXPECT_EQ(back[i].dense, items[i].dense);
    ASSERT_EQ(back[i].leaf == nullptr, items[i].leaf == nullptr);
    if (back[i].leaf != nullptr) ExpectEqual(*back[i].leaf, *items[i].leaf);
  }
  EXPECT_FALSE(DecodeRegion(region.span(), 0x98, 7).has_value());
  EXPECT_FALSE(DecodeRegion(region.span(), 0x99, 8).has_value());
}

TEST(RegionCodec, TheLargestRegionFits) {
  EXPECT_LE(RegionSlots(kLeavesPerRegion * kItemBytesMax), kRegionSlotsMax);
}

TEST(RegionCodec, ARootBlockRoundTrips) {
  RootBlock root(kRegionsPerRoot);
  root[0] = {2, 1, 3};
  root[255] = {77, kRegionSlotsMax, 4};
  Data block(kSlotBytes);
  EncodeRootBlock(root, block);
  EXPECT_EQ(DecodeRootBlock(block).value(), root);
  root[1] = {77, kRegionSlotsMax + 1, 4};
  EncodeRootBlock(root, block);
  EXPECT_FALSE(DecodeRootBlock(block).has_value());
}

}  // namespace
}  // namespace mica::native
