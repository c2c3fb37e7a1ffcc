// SPDX-License-Identifier: Apache-2.0
// check and repair: every kind of damage is named, a repair says exactly what was lost, and what it
// leaves checks clean, opens writable and holds everything else.
#include <gmock/gmock.h>

#include <array>
#include <cerrno>

#include "engine/snapshot_control.h"
#include "formats/mica/open_image.h"
#include "formats/mica/testing/image_fixture.h"
#include "formats/registry.h"

namespace mica {
namespace {

using ::testing::HasSubstr;
using testing::kMiB;
using Lost = CheckReport::Lost;

constexpr uint64_t kBlock = 4096;

class Repair : public testing::ImageFixture {
 protected:
  // Sparse leaves at 0 and 1 GiB, a dense one at 8 MiB; closed.
  void Make() {
    Create((uint64_t{1} << 30) + 16 * kMiB);
    Fill();
  }
  void Fill() {
    Open();
    for (const uint64_t at : kPlaces) Write(at, kMiB, at + 1);
    Close();
  }
  static constexpr std::array<uint64_t, 4> kPlaces{8 * kMiB, 9 * kMiB, 0,
                                                   (uint64_t{1} << 30) + 5 * kMiB};

  CheckReport CheckWith(CheckRepair repair, CheckScope scope) {
    CheckOptions options(scope);
    options.repair = repair;
    Result<CheckReport> report = SyncWait(loop_, format_.Check(host_, "/d", options));
    EXPECT_TRUE(report) << report.error().message;
    return report ? *report : CheckReport{};
  }
  CheckReport RepairAll() { return CheckWith(CheckRepair::kAll, CheckScope::kMetadataAndData); }
  void Flip(uint64_t offset) {
    const std::byte was = host_.Content("/d").value()[offset];
    const std::byte bad = was ^ std::byte{0x5a};
    host_.disk().Find("/d")->Damage(offset, ConstBytes(&bad, 1));
  }
  void FlipWrite(uint64_t offset, const std::vector<std::byte>& bytes) {
    host_.disk().Find("/d")->Damage(offset, bytes);
  }
  uint64_t FileOffset(uint64_t guest) {
    const auto layer = SyncWait(loop_, format_.Open(host_, "/d", LayerOpenOptions{})).value();
    const Mapping mapping = SyncWait(loop_, layer->Map({guest, kBlock})).value();
    return mapping.extents.at(0).host_offset;
  }
  struct Parts {
    uint64_t root = 0;
    uint64_t region = 0;
    uint64_t dense = 0;
    native::SlotRun log;
    native::Superblock superblock;
  };
  Parts FindParts() {
    OpenOptions options;
    options.lock = FileLock::kShared;
    const auto open = SyncWait(loop_, native::OpenMicaFile(host_, "/d", options)).value();
    Parts parts;
    parts.superblock = open->image.superblock;
    parts.log = open->image.log.slots();
    parts.root = native::SlotOffset(open->image.map.RootSlot(0));
    EXPECT_TRUE(SyncWait(loop_, open->image.map.Find(0)));
    std::vector<native::SlotRun> runs;
    open->image.map.ForEachRegionRun(0, [&](native::SlotRun run) { runs.push_back(run); });
    parts.region = native::SlotOffset(runs.at(0).first);
    parts.dense = native::SlotOffset(runs.back().first);
    return parts;
  }
  // What was not lost is there; what was lost reads zero, or as the parent where there is one.
  void ExpectAllBut(const std::vector<Lost>& lost) {
    Open();
    for (const uint64_t place : kPlaces) {
      std::vector<std::byte> data(kMiB);
      const Result<void> read = SyncWait(loop_, chain_->Read(place, data));
      ASSERT_TRUE(read) << read.error().message;
      std::vector<std::byte> expected = testing::RandomData(kMiB, place + 1);
      for (const Lost& range : lost) {
        const ByteRange part = Intersect(range.guest, {place, kMiB});
        if (part.empty()) continue;
        const auto begin = expected.begin() + static_cast<ptrdiff_t>(part.offset - place);
        std::fill_n(begin, part.length,
                    range.reads == Lost::Now::kZero ? std::byte{0} : kParentByte);
      }
      ASSERT_TRUE(data == expected) << "at " << place;
    }
    Write(3 * kMiB, kMiB, 77);
    Close();
    EXPECT_EQ(Check().corruptions, 0u);
  }
  static constexpr std::byte kParentByte{0x11};
};

TEST_F(Repair, ASecondSuperblockIsRestored) {
  for (const uint64_t copy : {0, 1}) {
    if (host_.disk().Find("/d") != nullptr) host_.disk().Remove("/d");
    Make();
    Flip(copy * kBlock + 100);
    const CheckReport found = CheckWith(CheckRepair::kNone, CheckScope::kMetadata);
    EXPECT_EQ(found.corruptions, 0u);
    EXPECT_EQ(found.harmless, 1u);
    const CheckReport report = CheckWith(CheckRepair::kLeaks, CheckScope::kMetadata);
    EXPECT_EQ(report.harmless, 0u);
    EXPECT_EQ(report.repairs.size(), 1u);
    Flip((1 - copy) * kBlock + 100);  // now the other one
    ExpectAllBut({});
  }
}

TEST_F(Repair, DamagedBlocksReadZeroAndAreNamed) {
  Make();
  Flip(FileOffset(8 * kMiB + 3 * kBlock) + 17);
  Flip(FileOffset(8 * kMiB + 4 * kBlock) + 4095);
  Flip(FileOffset(kPlaces[3]));
  EXPECT_EQ(CheckWith(CheckRepair::kNone, CheckScope::kMetadata).corruptions, 0u);
  EXPECT_EQ(Check().corruptions, 3u);
  const CheckReport report = RepairAll();
  EXPECT_EQ(report.corruptions, 0u);
  ASSERT_EQ(report.lost.size(), 2u);
  EXPECT_EQ(report.lost[0].guest, (ByteRange{8 * kMiB + 3 * kBlock, 2 * kBlock}));
  EXPECT_EQ(report.lost[1].guest, (ByteRange{kPlaces[3], kBlock}));
  ExpectAllBut(report.lost);
}

TEST_F(Repair, DamagedMapPartsAreDropped) {
  struct Case {
    uint64_t Parts::* part;
    ByteRange lost;
  };
  const uint64_t size = (uint64_t{1} << 30) + 16 * kMiB;
  for (const Case& damage :
       {Case{&Parts::dense, {8 * kMiB, 2 * kMiB}}, Case{&Parts::region, {0, uint64_t{1} << 30}},
        Case{&Parts::root, {0, size}}}) {
    if (host_.disk().Find("/d") != nullptr) host_.disk().Remove("/d");
    Make();
    Flip(FindParts().*damage.part + 33);
    const CheckReport found = CheckWith(CheckRepair::kNone, CheckScope::kMetadata);
    ASSERT_GE(found.corruptions, 1u);
    EXPECT_EQ(found.findings.front().guest, damage.lost);
    const CheckReport report = RepairAll();
    EXPECT_EQ(report.corruptions, 0u);
    ASSERT_EQ(report.lost.size(), 1u);
    EXPECT_EQ(report.lost[0].guest, damage.lost);
    EXPECT_EQ(report.lost[0].reads, Lost::Now::kZero);
    ExpectAllBut(report.lost);
  }
}

TEST_F(Repair, WhereAMapPartIsLostTheParentShowsThrough) {
  const ImageFormat* const raw = FindFormat("raw").value();
  CreateOptions options;
  options.virtual_size = (uint64_t{1} << 30) + 16 * kMiB;
  ASSERT_TRUE(SyncWait(loop_, raw->Create(host_, "/parent", options)));
  {
    OpenOptions writable;
    writable.writable = true;
    const auto file = SyncWait(loop_, host_.Open("/parent", writable)).value();
    const std::vector<std::byte> data(16 * kMiB, kParentByte);
    ASSERT_TRUE(SyncWait(loop_, file->Write(0, data)));
  }
  options.parent =
      ParentReference{"parent", "raw", SyncWait(loop_, raw->Seal(host_, "/parent")).value()};
  ASSERT_TRUE(SyncWait(loop_, format_.Create(host_, "/d", options)));
  Fill();
  Flip(FileOffset(5 * kBlock));  // a sparse leaf's block: zero, not the parent's
  Flip(FindParts().dense);
  const CheckReport report = RepairAll();
  EXPECT_EQ(report.corruptions, 0u);
  ASSERT_EQ(report.lost.size(), 2u);
  EXPECT_EQ(report.lost[0].guest, (ByteRange{5 * kBlock, kBlock}));
  EXPECT_EQ(report.lost[0].reads, Lost::Now::kZero);
  EXPECT_EQ(report.lost[1].guest, (ByteRange{8 * kMiB, 2 * kMiB}));
  EXPECT_EQ(report.lost[1].reads, Lost::Now::kParent);
  ExpectAllBut(report.lost);
}

TEST_F(Repair, ATruncatedFileGetsItsLengthBack) {
  Make();
  const uint64_t cut = FileOffset(9 * kMiB + 100 * kBlock);
  {
    OpenOptions writable;
    writable.writable = true;
    const auto file = SyncWait(loop_, host_.Open("/d", writable)).value();
    ASSERT_TRUE(SyncWait(loop_, file->Resize(cut)));
  }
  EXPECT_FALSE(TryOpen()) << "it must not be written before it is repaired";
  EXPECT_GT(CheckWith(CheckRepair::kNone, CheckScope::kMetadata).corruptions, 0u);
  const CheckReport report = RepairAll();
  EXPECT_EQ(report.corruptions, 0u);
  EXPECT_FALSE(report.lost.empty());
  ExpectAllBut(report.lost);
}

TEST_F(Repair, ADamagedLogGivesUpWhatFollows) {
  Make();
  Open();
  for (uint64_t i = 0; i < 6; ++i) {
    Write(20 * kMiB + i * kBlock, kBlock, 500 + i);
    Flush();
  }
  Sleep(std::chrono::seconds(3));  // the last page says that the others are durable
  Drop();
  const Parts parts = FindParts();
  Flip(native::SlotOffset(parts.log.first + parts.superblock.log_tail_index + 3) + 70);
  EXPECT_FALSE(TryOpen());
  const CheckReport found = CheckWith(CheckRepair::kNone, CheckScope::kMetadata);
  ASSERT_GT(found.corruptions, 0u);
  EXPECT_THAT(found.findings.front().what, HasSubstr("log is damaged"));
  const CheckReport report = RepairAll();
  EXPECT_EQ(report.corruptions, 0u);
  ExpectAllBut(report.lost);
  Open();
  for (uint64_t i = 0; i < 3; ++i) Expect(20 * kMiB + i * kBlock, kBlock, 500 + i);
  Close();
}

// A map that names one slot for two blocks, with the hashes that such a map would have.
TEST_F(Repair, ASlotUsedTwiceIsGivenToItsOwner) {
  for (const bool same_content : {false, true}) {
    if (host_.disk().Find("/d") != nullptr) host_.disk().Remove("/d");
    Make();
    {
      OpenOptions options;
      options.writable = true;
      options.lock = FileLock::kExclusive;
      const auto open = SyncWait(loop_, native::OpenMicaFile(host_, "/d", options)).value();
      native::BlockMap& map = open->image.map;
      const auto owner = SyncWait(loop_, map.Find(0)).value().leaf->Get(7);
      ASSERT_TRUE(SyncWait(loop_, map.Find(8 * kMiB / kBlock)));
      map.Change(8 * kMiB / kBlock, [&](native::Leaf& leaf) {
        native::LeafEntry entry = leaf.Get(9);
        entry.slot = owner.slot;
        if (same_content) entry.digest = owner.digest;
        leaf.Set(9, entry);
      });
      const std::optional<std::array<uint8_t, 16>> no_seal;
      ASSERT_TRUE(SyncWait(loop_, open->CloseClean(no_seal)));
    }
    const CheckReport found = CheckWith(CheckRepair::kNone, CheckScope::kMetadata);
    ASSERT_EQ(found.corruptions, 1u);
    EXPECT_THAT(found.findings.front().what, HasSubstr("used twice"));
    const CheckReport report = CheckWith(CheckRepair::kAll, CheckScope::kMetadata);
    EXPECT_EQ(report.corruptions, 0u);
    EXPECT_EQ(report.lost.size(), same_content ? 0u : 1u);
    if (same_content) {
      EXPECT_NE(FileOffset(8 * kMiB + 9 * kBlock), FileOffset(7 * kBlock));
      continue;
    }
    EXPECT_EQ(report.lost[0].guest, (ByteRange{8 * kMiB + 9 * kBlock, kBlock}));
    ExpectAllBut(report.lost);
  }
}

TEST_F(Repair, LeaksAreTheEndOfTheFileAndLongFreeRuns) {
  Make();
  const uint64_t size = FileBytes();
  {
    OpenOptions writable;
    writable.writable = true;
    const auto file = SyncWait(loop_, host_.Open("/d", writable)).value();
    ASSERT_TRUE(SyncWait(loop_, file->Allocate({size, 3 * kMiB})));
  }
  const CheckReport found = CheckWith(CheckRepair::kNone, CheckScope::kMetadata);
  EXPECT_EQ(found.corruptions, 0u);
  EXPECT_EQ(found.leaked_bytes, 3 * kMiB);
  EXPECT_EQ(CheckWith(CheckRepair::kLeaks, CheckScope::kMetadata).leaked_bytes, 0u);
  EXPECT_LE(FileBytes(), size);
  Open();
  for (uint64_t i = 0; i < 8; ++i) Write((20 + i) * kMiB, kMiB, i);
  Flush();
  host_.faults().SetFaultHook([](const HostCall& call) -> std::optional<Fault> {
    if (call.kind == HostCallKind::kDeallocate) return Fault{EOPNOTSUPP, 0};
    return std::nullopt;
  });
  Discard({21 * kMiB, 6 * kMiB});
  Close();
  host_.faults().SetFaultHook({});
  const CheckReport held = CheckWith(CheckRepair::kNone, CheckScope::kMetadata);
  EXPECT_NEAR(static_cast<double>(held.leaked_bytes), 6.0 * kMiB, 1.0 * kMiB);
  const uint64_t host_bytes = HostBytes();
  EXPECT_EQ(CheckWith(CheckRepair::kLeaks, CheckScope::kMetadata).leaked_bytes, 0u);
  EXPECT_LT(HostBytes(), host_bytes - 5 * kMiB);
  ExpectAllBut({});
}

TEST_F(Repair, ASealedImageIsLeftAsItIs) {
  Make();
  ASSERT_TRUE(SyncWait(loop_, format_.Seal(host_, "/d")));
  Flip(kBlock + 100);
  EXPECT_EQ(CheckWith(CheckRepair::kAll, CheckScope::kMetadata).harmless, 0u);
  Flip(FileOffset(0));
  CheckOptions options(CheckScope::kMetadataAndData);
  options.repair = CheckRepair::kAll;
  const Result<CheckReport> report = SyncWait(loop_, format_.Check(host_, "/d", options));
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, Errc::kReadOnly);
  EXPECT_THAT(report.error().message, HasSubstr("sealed"));
}

TEST_F(Repair, WhatTheHostCannotReadIsReportedAndNotGivenUp) {
  Make();
  const uint64_t bad = FileOffset(9 * kMiB + 30 * kBlock);
  host_.faults().SetFaultHook([bad](const HostCall& call) -> std::optional<Fault> {
    if (call.kind == HostCallKind::kRead && call.range.Overlaps({bad, kBlock})) return Fault{};
    return std::nullopt;
  });
  const CheckReport report = RepairAll();
  EXPECT_EQ(report.corruptions, 1u);
  EXPECT_THAT(report.findings.at(0).what, HasSubstr("cannot be read"));
  EXPECT_EQ(report.findings.at(0).guest, (ByteRange{9 * kMiB + 30 * kBlock, kBlock}));
  EXPECT_TRUE(report.lost.empty());
  host_.faults().SetFaultHook({});
  ExpectAllBut({});
}

TEST_F(Repair, DamageOfASnapshotIsTheSnapshotsAlone) {
  Make();
  Open();
  SnapshotControl& snapshots = *chain_->layer(0).controls().snapshots;
  ASSERT_TRUE(SyncWait(loop_, snapshots.Create("before")));
  const uint64_t old =
      SyncWait(loop_, chain_->layer(0).Map({0, kBlock})).value().extents[0].host_offset;
  Write(0, kMiB, 1);  // the same content, elsewhere
  Close();
  Flip(old + 5);
  const CheckReport found = Check();
  ASSERT_EQ(found.corruptions, 1u);
  EXPECT_THAT(found.findings.front().what,
              HasSubstr("snapshot 'before': the block at guest offset 0"));
  EXPECT_FALSE(found.findings.front().guest.has_value());
  const CheckReport after = RepairAll();
  EXPECT_EQ(after.corruptions, 1u) << "nobody but its owner gives up a snapshot";
  EXPECT_TRUE(after.lost.empty());
  Open();
  ASSERT_TRUE(SyncWait(loop_, chain_->layer(0).controls().snapshots->Delete("before")));
  Close();
  ExpectAllBut({});
}

TEST_F(Repair, ProgressReachesTheEnd) {
  Make();
  CheckOptions options(CheckScope::kMetadataAndData);
  uint64_t last = 0;
  options.on_progress = [&last](uint64_t done, uint64_t total) {
    EXPECT_GE(done, last);
    EXPECT_GE(total, done);
    last = done;
  };
  ASSERT_TRUE(SyncWait(loop_, format_.Check(host_, "/d", options)));
  EXPECT_EQ(last, 4 * kMiB);
}

// A power cut, or a failing call, at any moment of a repair leaves the image repairable, and what
// was good is there.
TEST_F(Repair, CanBeInterruptedAnywhere) {
  Make();
  Flip(FindParts().dense);
  Flip(FileOffset(3 * kBlock));
  uint64_t cuts = 0;
  Prng prng(5);
  const auto look = [&](MemoryHost& host) {
    CheckOptions options(CheckScope::kMetadataAndData);
    options.repair = CheckRepair::kAll;
    MicaFormat format;
    const Result<CheckReport> report = SyncWait(host.loop(), format.Check(host, "/d", options));
    ASSERT_TRUE(report) << report.error().message;
    ASSERT_EQ(report->corruptions, 0u) << report->findings.front().what;
    const auto layer = SyncWait(host.loop(), OpenChain(host, "/d", OpenChainOptions{})).value();
    std::vector<std::byte> data(kMiB);
    ASSERT_TRUE(SyncWait(host.loop(), layer->Read(kPlaces[3], data)));
    ASSERT_TRUE(data == testing::RandomData(kMiB, kPlaces[3] + 1));
  };
  const SimulatedDisk damaged = host_.disk().AfterPowerCut(PowerCutPolicy{});
  uint64_t calls = 0;
  {
    MemoryHost host(loop_, {}, damaged.AfterPowerCut(PowerCutPolicy{}));
    host.faults().SetChangeHook([&](const HostCall&) {
      ++cuts;
      MemoryLoop loop;
      MemoryHost cut(loop, {}, host.disk().AfterPowerCut(PowerCutPolicy::FromSeed(prng.Next())));
      look(cut);
    });
    look(host);
    calls = host.faults().calls_made();
  }
  EXPECT_GT(cuts, 8u);
  for (uint64_t call = 1; call <= calls; ++call) {
    for (const int error : {EIO, ENOSPC}) {
      MemoryHost host(loop_, {}, damaged.AfterPowerCut(PowerCutPolicy{}));
      host.faults().FailCall(call, Fault{error, 0});
      CheckOptions options(CheckScope::kMetadataAndData);
      options.repair = CheckRepair::kAll;
      const auto report = SyncWait(loop_, format_.Check(host, "/d", options));
      static_cast<void>(report);  // may fail, or tell of what could not be read
      MemoryHost after(loop_, {}, host.disk().AfterPowerCut(PowerCutPolicy::FromSeed(call)));
      look(after);
    }
  }
}

}  // namespace
}  // namespace mica
