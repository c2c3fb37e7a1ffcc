// SPDX-License-Identifier: Apache-2.0
// Snapshots, sizes and changed blocks of a mica image: random histories against a model, and each
// promise by itself.
#include "formats/mica/mica_snapshots.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "engine/async/when_all.h"
#include "engine/base/prng.h"
#include "engine/io/memory_host.h"
#include "engine/snapshot_control.h"
#include "formats/mica/mica_format.h"
#include "formats/open_chain.h"

namespace mica {
namespace {

using testing::HasSubstr;
using Data = std::vector<std::byte>;
constexpr uint64_t kBlock = 4096;
constexpr uint64_t kMiB = uint64_t{1} << 20;

// One block as the model knows it: every byte is made of the stamp; 0 is a block of zeroes.
Data BlockOf(uint64_t stamp, uint64_t length = kBlock) {
  Data data(length);
  for (size_t i = 0; i + 8 <= length && stamp != 0; i += 8) {
    StoreLe<uint64_t>(data, i, stamp * 1'000'003 + i);
  }
  return data;
}

// A disk: size and the stamp of every block that is not zero.
struct Disk {
  uint64_t size = 0;
  std::map<uint64_t, uint64_t> stamps;

  [[nodiscard]] uint64_t At(uint64_t block) const {
    const auto found = stamps.find(block);
    return found == stamps.end() ? 0 : found->second;
  }
  void CutTo(uint64_t bytes) {
    size = bytes;
    stamps.erase(stamps.lower_bound(bytes / kBlock), stamps.end());
  }
};

class MicaSnapshotsTest : public testing::Test {
 protected:
  void Create(uint64_t size, std::map<std::string, std::string> extra = {}) {
    CreateOptions options;
    options.virtual_size = size;
    options.parent = parent_;
    options.extra = std::move(extra);
    ASSERT_TRUE(SyncWait(loop_, format_.Create(host_, "/d", options)));
    ASSERT_TRUE(SyncWait(loop_, host_.SyncDirectory("/")));
  }
  // A sealed parent whose blocks hold 1'000'000 + their number.
  void MakeParent(uint64_t size) {
    CreateOptions options;
    options.virtual_size = size;
    ASSERT_TRUE(SyncWait(loop_, format_.Create(host_, "/p", options)));
    auto chain = Open("/p");
    for (uint64_t block = 0; block < size / kBlock; ++block)
      Write(*chain, block, 1'000'000 + block);
    Close(std::move(chain));
    const LayerIdentity identity = SyncWait(loop_, format_.Seal(host_, "/p")).value();
    parent_ = ParentReference{"p", "mica", identity};
  }
  std::unique_ptr<ImageChain> Open(const std::string& path = "/d", bool writable = true) {
    OpenChainOptions options;
    options.writable = writable;
    auto opened = SyncWait(loop_, OpenChain(host_, path, options));
    EXPECT_TRUE(opened) << opened.error().message;
    return *std::move(opened);
  }
  void Close(std::unique_ptr<ImageChain> chain) {
    const Result<void> closed = SyncWait(loop_, chain->Close());
    ASSERT_TRUE(closed) << closed.error().message;
  }
  void Drop(std::unique_ptr<ImageChain> chain) {
    chain.reset();
    loop_.RunUntil([this] { return loop_.spawned_tasks() == 0; });
  }
  void Write(ImageChain& chain, uint64_t block, uint64_t stamp) {
    const Data data = BlockOf(stamp, std::min(kBlock, chain.info().size - block * kBlock));
    const Result<void> written =
        SyncWait(loop_, chain.Write(block * kBlock, data, Durability::kVolatile));
    ASSERT_TRUE(written) << written.error().message;
  }
  static SnapshotControl& Control(ImageChain& chain) {
    return *chain.layer(0).controls().snapshots;
  }
  SnapshotInfo Snapshot(ImageChain& chain, const std::string& name) {
    const Result<SnapshotInfo> made = SyncWait(loop_, Control(chain).Create(name));
    EXPECT_TRUE(made) << made.error().message;
    return made.value_or(SnapshotInfo{});
  }
  template <class T>
  void Expect(Async<T> call) {
    const Result<T> done = SyncWait(loop_, std::move(call));
    ASSERT_TRUE(done) << done.error().message;
  }
  uint64_t StampAt(ImageChain& chain, uint64_t block) {
    Data data(std::min(kBlock, chain.info().size - block * kBlock));
    const Result<void> read = SyncWait(loop_, chain.Read(block * kBlock, data));
    EXPECT_TRUE(read) << read.error().message;
    if (IsZero(data)) return 0;
    const uint64_t stamp = LoadLe<uint64_t>(data, 0) / 1'000'003;
    EXPECT_EQ(data, BlockOf(stamp, data.size())) << "block " << block;
    return stamp;
  }
  std::vector<ByteRange> Changed(ImageChain& chain, uint32_t epoch) {
    const auto changed =
        SyncWait(loop_, Control(chain).ChangedSince(epoch, {0, chain.info().size}));
    EXPECT_TRUE(changed) << changed.error().message;
    return changed.value_or(std::vector<ByteRange>{});
  }
  void ExpectSound() {
    const auto report = SyncWait(loop_, format_.Check(host_, "/d", CheckScope::kMetadataAndData));
    ASSERT_TRUE(report) << report.error().message;
    ASSERT_EQ(report->corruptions, 0u) << report->findings.front().what;
  }
  native::Superblock SuperblockOnDisk() {
    const Data content = host_.Content("/d").value();
    return native::ChooseSuperblock(ConstBytes(content).first(4096),
                                    ConstBytes(content).subspan(4096, 4096))
        ->superblock;
  }

  MemoryLoop loop_;
  MemoryHost host_{loop_};
  MicaFormat format_;
  std::optional<ParentReference> parent_;
};

TEST_F(MicaSnapshotsTest, ASnapshotKeepsTheDiskAsItWas) {
  Create(8 * kMiB);
  auto chain = Open();
  Write(*chain, 0, 1);
  Write(*chain, 700, 2);
  const SnapshotInfo made = Snapshot(*chain, "first");
  EXPECT_EQ(made.name, "first");
  EXPECT_EQ(made.virtual_size, 8 * kMiB);
  Write(*chain, 0, 3);
  Expect(chain->Discard({700 * kBlock, kBlock}, Durability::kForced));
  EXPECT_EQ(StampAt(*chain, 0), 3u);
  EXPECT_EQ(StampAt(*chain, 700), 0u);
  Close(std::move(chain));
  auto view = Open("/d@first", false);
  EXPECT_EQ(StampAt(*view, 0), 1u);
  EXPECT_EQ(StampAt(*view, 700), 2u);
  EXPECT_TRUE(view->info().read_only);
  Close(std::move(view));
  ExpectSound();
  OpenChainOptions options;
  EXPECT_THAT(SyncWait(loop_, OpenChain(host_, "/d@second", options)).error().message,
              HasSubstr("found 'first'"));
  options.writable = true;
  EXPECT_EQ(SyncWait(loop_, OpenChain(host_, "/d@first", options)).error().code, Errc::kReadOnly);
}

TEST_F(MicaSnapshotsTest, NamesAreChecked) {
  Create(kMiB);
  auto chain = Open();
  Snapshot(*chain, "a b@c:ü");
  const auto error = [&](const std::string& name) {
    return SyncWait(loop_, Control(*chain).Create(name)).error().code;
  };
  EXPECT_EQ(error("a b@c:ü"), Errc::kExists);
  EXPECT_EQ(error(""), Errc::kInvalidArgument);
  EXPECT_EQ(error("a/b"), Errc::kInvalidArgument);
  EXPECT_EQ(error("a\nb"), Errc::kInvalidArgument);
  EXPECT_EQ(error("\xff"), Errc::kInvalidArgument);
  EXPECT_EQ(error(std::string(256, 'x')), Errc::kInvalidArgument);
  Snapshot(*chain, std::string(255, 'x'));
  EXPECT_EQ(SyncWait(loop_, Control(*chain).Delete("nope")).error().code, Errc::kNotFound);
  Close(std::move(chain));
  auto view = Open("/d@a b@c:ü", false);
  EXPECT_EQ(SyncWait(loop_, Control(*view).Create("z")).error().code, Errc::kReadOnly);
  EXPECT_EQ(SyncWait(loop_, Control(*view).List())->size(), 2u);
}

TEST_F(MicaSnapshotsTest, AThousandSnapshotsAndNotOneMore) {
  Create(kMiB);
  auto chain = Open();
  for (uint32_t i = 0; i < native::kSnapshotsMax; ++i) {
    if (i % 100 == 0) Write(*chain, i % 200, i + 1);
    Snapshot(*chain, "snapshot " + std::to_string(i));
  }
  EXPECT_EQ(SyncWait(loop_, Control(*chain).Create("more")).error().code, Errc::kLimit);
  Close(std::move(chain));
  chain = Open();
  const auto list = SyncWait(loop_, Control(*chain).List()).value();
  ASSERT_EQ(list.size(), native::kSnapshotsMax);
  EXPECT_EQ(list.back().id, native::kSnapshotsMax);
  for (const SnapshotInfo& info : list) Expect(Control(*chain).Delete(info.name));
  EXPECT_TRUE(SyncWait(loop_, Control(*chain).List())->empty());
  Close(std::move(chain));
  ExpectSound();
}

TEST_F(MicaSnapshotsTest, WritesBeforeTheCallAreInAndThoseInFlightAreWhole) {
  Create(64 * kMiB);
  auto chain = Open();
  for (uint64_t block = 0; block < 64; ++block) Write(*chain, block, 1);
  host_.faults().DelayCalls(7, 5);
  std::vector<Data> data;
  for (uint64_t block = 0; block < 64; ++block) data.push_back(BlockOf(2));
  std::vector<Async<void>> work;
  const auto make = [](SnapshotControl& control) -> Async<void> {
    CO_ASSIGN(const SnapshotInfo made, co_await control.Create("live"));
    static_cast<void>(made);
    co_return Result<void>();
  };
  for (uint64_t block = 0; block < 64; ++block) {
    if (block == 32) work.push_back(make(Control(*chain)));
    if (block % 8 == 0) work.push_back(chain->Flush());
    work.push_back(chain->Write(block * kBlock, data[block], Durability::kVolatile));
  }
  Expect(WhenAll(loop_, std::move(work)));
  host_.faults().DelayCalls(7, 0);
  for (uint64_t block = 0; block < 64; ++block) Write(*chain, block, 3);
  Expect(chain->Flush());
  Drop(std::move(chain));
  auto view = Open("/d@live", false);
  for (uint64_t block = 0; block < 64; ++block) {
    EXPECT_THAT(StampAt(*view, block), testing::AnyOf(1u, 2u));
  }
  Close(std::move(view));
  Close(Open());
  ExpectSound();
}

TEST_F(MicaSnapshotsTest, DeletingGivesTheSpaceBackWhileServing) {
  Create(64 * kMiB);
  host_.faults().DelayCalls(3, 2);  // so that work in the background gets its turns
  auto chain = Open();
  const auto fill = [&](uint64_t stamp) {
    for (uint64_t block = 0; block < 2048; ++block) Write(*chain, block, stamp);
    Expect(chain->Flush());
  };
  fill(1);
  for (uint64_t round = 0; round < 6; ++round) {
    Snapshot(*chain, "s");
    fill(2 + round);
    Expect(Control(*chain).Delete("s"));
  }
  Close(std::move(chain));
  // Two copies of the 8 MiB and what checkpoints need, but not seven.
  EXPECT_LT(SyncWait(loop_, host_.Stat("/d")).value().size, 30 * kMiB);
  ExpectSound();
}

TEST_F(MicaSnapshotsTest, AFullHostIsNoObstacleToDeleting) {
  Create(64 * kMiB);
  auto chain = Open();
  for (uint64_t block = 0; block < 1024; ++block) Write(*chain, block, 1);
  Snapshot(*chain, "s");
  host_.disk().SetSpaceLimit(host_.disk().used_bytes() + kMiB);
  const Data data = BlockOf(2);
  Result<void> written;
  for (uint64_t block = 0; block < 4096 && written; ++block) {
    written = SyncWait(loop_, chain->Write(block * kBlock, data, Durability::kVolatile));
  }
  ASSERT_EQ(written.error().code, Errc::kNoSpace);
  Expect(Control(*chain).Delete("s"));
  for (uint64_t block = 0; block < 1024; ++block) Write(*chain, block, 3);
  Close(std::move(chain));
  host_.disk().SetSpaceLimit(UINT64_MAX);
  ExpectSound();
  chain = Open();
  for (uint64_t block = 0; block < 1024; block += 10) EXPECT_EQ(StampAt(*chain, block), 3u);
}

TEST_F(MicaSnapshotsTest, GoingBackTakesTheSizeWithIt) {
  Create(8 * kMiB);
  auto chain = Open();
  Write(*chain, 2000, 1);
  Snapshot(*chain, "small");
  Expect(Control(*chain).Grow(2048 * kMiB));
  Close(std::move(chain));
  chain = Open();
  EXPECT_EQ(chain->info().size, 2048 * kMiB);
  Write(*chain, 500'000, 2);
  Write(*chain, 2000, 3);
  Snapshot(*chain, "large");
  Expect(Control(*chain).Revert("small"));
  EXPECT_EQ(SyncWait(loop_, chain->Write(0, BlockOf(1), Durability::kVolatile)).error().code,
            Errc::kReadOnly);
  Close(std::move(chain));
  chain = Open();
  EXPECT_EQ(chain->info().size, 8 * kMiB);
  EXPECT_EQ(StampAt(*chain, 2000), 1u);
  Write(*chain, 2000, 4);
  Expect(Control(*chain).Revert("large"));
  Close(std::move(chain));
  chain = Open();
  EXPECT_EQ(chain->info().size, 2048 * kMiB);
  EXPECT_EQ(StampAt(*chain, 500'000), 2u);
  EXPECT_EQ(StampAt(*chain, 2000), 3u);
  Close(std::move(chain));
  ExpectSound();
}

TEST_F(MicaSnapshotsTest, WhatWasCutOffReadsZeroWhenTheDiskGrowsAgain) {
  MakeParent(4 * kMiB);
  Create(4 * kMiB);
  auto chain = Open();
  Write(*chain, 900, 1);
  Snapshot(*chain, "whole");
  Expect(Control(*chain).Shrink(3 * kMiB));
  Close(std::move(chain));
  chain = Open();
  Expect(Control(*chain).Grow(5 * kMiB));
  Close(std::move(chain));
  chain = Open();
  EXPECT_EQ(StampAt(*chain, 767), 1'000'767u);
  for (const uint64_t block : {768, 900, 1000, 1200}) EXPECT_EQ(StampAt(*chain, block), 0u);
  Write(*chain, 900, 7);
  Expect(chain->Discard({900 * kBlock, kBlock}, Durability::kForced));
  EXPECT_EQ(StampAt(*chain, 900), 0u);
  Close(std::move(chain));
  auto view = Open("/d@whole", false);
  EXPECT_EQ(StampAt(*view, 900), 1u);
  EXPECT_EQ(StampAt(*view, 1000), 1'001'000u);
  ExpectSound();
}

TEST_F(MicaSnapshotsTest, AnOddEndGrowsIntoAWholeBlock) {
  Create(kMiB + 1000);
  auto chain = Open();
  Write(*chain, 256, 1);
  Snapshot(*chain, "odd");
  EXPECT_THAT(SyncWait(loop_, Control(*chain).Grow(kMiB + 2000)).error().message,
              HasSubstr("multiple of 4096"));
  Expect(Control(*chain).Grow(2 * kMiB));
  Close(std::move(chain));
  chain = Open();
  Data data(kBlock);
  Expect(chain->Read(256 * kBlock, data));
  Data expected = BlockOf(1, 1000);
  expected.resize(kBlock);
  EXPECT_EQ(data, expected);
  Close(std::move(chain));
  auto view = Open("/d@odd", false);
  EXPECT_EQ(StampAt(*view, 256), 1u);
  ExpectSound();
}

// The three ways in which another product's tracking has lost changes: a crash, a resize, a revert.

TEST_F(MicaSnapshotsTest, ChangesSurviveACrash) {
  Create(64 * kMiB);
  auto chain = Open();
  Write(*chain, 5, 1);
  const SnapshotInfo base = Snapshot(*chain, "base");
  Write(*chain, 100, 2);
  Expect(chain->Discard({5 * kBlock, kBlock}, Durability::kVolatile));
  Expect(chain->Flush());
  Drop(std::move(chain));  // no clean close
  chain = Open();
  const std::vector<ByteRange> expected = {{5 * kBlock, kBlock}, {100 * kBlock, kBlock}};
  EXPECT_EQ(Changed(*chain, base.epoch), expected);
  Drop(std::move(chain));
  chain = Open();
  EXPECT_EQ(Changed(*chain, base.epoch), expected);
}

TEST_F(MicaSnapshotsTest, ChangesSurviveAResize) {
  Create(8 * kMiB);
  auto chain = Open();
  for (uint64_t block = 0; block < 2048; block += 64) Write(*chain, block, 1);
  const SnapshotInfo base = Snapshot(*chain, "base");
  Write(*chain, 3, 2);
  Expect(Control(*chain).Shrink(4 * kMiB));
  Close(std::move(chain));
  chain = Open();
  Expect(Control(*chain).Grow(16 * kMiB));
  Close(std::move(chain));
  chain = Open();
  Write(*chain, 700, 5);
  // Everything beyond the smallest size has changed: it was cut off, or is new.
  const std::vector<ByteRange> expected = {
      {3 * kBlock, kBlock}, {700 * kBlock, kBlock}, {4 * kMiB, 12 * kMiB}};
  EXPECT_EQ(Changed(*chain, base.epoch), expected);
  const SnapshotInfo later = Snapshot(*chain, "later");
  Write(*chain, 4000, 6);
  const std::vector<ByteRange> only = {{4000 * kBlock, kBlock}};
  EXPECT_EQ(Changed(*chain, later.epoch), only);
}

TEST_F(MicaSnapshotsTest, ChangesSurviveARevert) {
  Create(8 * kMiB);
  auto chain = Open();
  Write(*chain, 1, 1);
  const SnapshotInfo a = Snapshot(*chain, "a");
  Write(*chain, 2, 2);
  const SnapshotInfo b = Snapshot(*chain, "b");
  Write(*chain, 3, 3);
  Expect(Control(*chain).Revert("a"));
  Close(std::move(chain));
  chain = Open();
  Write(*chain, 4, 4);
  const std::vector<ByteRange> since_a = {{4 * kBlock, kBlock}};
  EXPECT_EQ(Changed(*chain, a.epoch), since_a);
  // A backup of b has block 2, which this disk has not, and no epoch says so.
  const auto lost = SyncWait(loop_, Control(*chain).ChangedSince(b.epoch, {0, kMiB}));
  EXPECT_EQ(lost.error().code, Errc::kMismatch);
  EXPECT_THAT(lost.error().message, HasSubstr("full copy"));
  const SnapshotInfo c = Snapshot(*chain, "c");
  // What is true of the disk is true of its snapshots, each by its own history.
  Close(std::move(chain));
  auto view = Open("/d@c", false);
  EXPECT_EQ(Changed(*view, a.epoch), since_a);
  EXPECT_FALSE(SyncWait(loop_, Control(*view).ChangedSince(b.epoch, {0, kMiB})));
  view = Open("/d@b", false);
  const std::vector<ByteRange> a_to_b = {{2 * kBlock, kBlock}};
  EXPECT_EQ(Changed(*view, a.epoch), a_to_b);
  EXPECT_EQ(SyncWait(loop_, Control(*view).ChangedSince(c.epoch, {0, kMiB})).error().code,
            Errc::kInvalidArgument);
  view.reset();
  chain = Open();
  Expect(Control(*chain).Revert("b"));
  Close(std::move(chain));
  chain = Open();
  EXPECT_EQ(Changed(*chain, a.epoch), a_to_b);
  EXPECT_TRUE(Changed(*chain, b.epoch).empty());
  EXPECT_FALSE(SyncWait(loop_, Control(*chain).ChangedSince(c.epoch, {0, kMiB})));
}

// As commit leaves a delta whose blocks have moved into its parent.
TEST_F(MicaSnapshotsTest, BlocksThatEqualTheParentAgainHaveChanged) {
  MakeParent(kMiB);
  Create(kMiB);
  auto chain = Open();
  Write(*chain, 9, 1);
  const SnapshotInfo base = Snapshot(*chain, "base");
  Expect(chain->layer(0).Unmap({9 * kBlock, 3 * kBlock}, ExtentKind::kUnallocated));
  EXPECT_EQ(StampAt(*chain, 9), 1'000'009u);
  const std::vector<ByteRange> expected = {{9 * kBlock, kBlock}};
  EXPECT_EQ(Changed(*chain, base.epoch), expected);
  Expect(chain->Flush());
  Drop(std::move(chain));
  chain = Open();
  EXPECT_EQ(StampAt(*chain, 9), 1'000'009u);
  EXPECT_EQ(Changed(*chain, base.epoch), expected);
}

TEST_F(MicaSnapshotsTest, CheckFindsWhatIsWrongWithASnapshot) {
  Create(8 * kMiB);
  auto chain = Open();
  for (uint64_t block = 0; block < 300; ++block) Write(*chain, block, 1 + block);
  Snapshot(*chain, "s");
  Write(*chain, 7, 999);
  Close(std::move(chain));
  ExpectSound();
  const auto check = [&] {
    return SyncWait(loop_, format_.Check(host_, "/d", CheckScope::kMetadataAndData)).value();
  };
  // The old block 7, which only the snapshot has.
  const Data content = host_.Content("/d").value();
  const Data old = BlockOf(8);
  uint64_t at = 0;
  while (!std::equal(old.begin(), old.end(), content.begin() + static_cast<ptrdiff_t>(at))) {
    at += kBlock;
  }
  const std::byte junk{0x55};
  host_.disk().Find("/d")->Damage(at + 9, ConstBytes(&junk, 1));
  CheckReport report = check();
  ASSERT_EQ(report.corruptions, 1u);
  EXPECT_THAT(report.findings[0].what, HasSubstr("snapshot 's'"));
  EXPECT_THAT(report.findings[0].what, HasSubstr("guest offset 28672"));
  host_.disk().Find("/d")->Damage(at + 9, ConstBytes(&content[at + 9], 1));
  // The snapshot's root block, which the head has replaced.
  const native::Slot table = SuperblockOnDisk().snapshot_table.slot;
  const uint64_t roots =
      native::SlotOffset(LoadLe<uint32_t>(content, native::SlotOffset(table) + 32 + 36));
  host_.disk().Find("/d")->Damage(roots + 9, ConstBytes(&junk, 1));
  report = check();
  ASSERT_GE(report.corruptions, 1u);
  EXPECT_THAT(report.findings[0].what, HasSubstr("snapshot 's'"));
}

TEST_F(MicaSnapshotsTest, DamageToATableIsReportedAndTheDiskStaysReadable) {
  Create(kMiB);
  auto chain = Open();
  Write(*chain, 1, 1);
  Snapshot(*chain, "s");
  Close(std::move(chain));
  const std::byte junk{0x55};
  const uint64_t table = native::SlotOffset(SuperblockOnDisk().snapshot_table.slot);
  host_.disk().Find("/d")->Damage(table + 100, ConstBytes(&junk, 1));
  chain = Open();
  EXPECT_EQ(StampAt(*chain, 1), 1u);
  EXPECT_EQ(SyncWait(loop_, Control(*chain).List()).error().code, Errc::kCorrupt);
  OpenChainOptions options;
  options.without_locks = true;
  EXPECT_EQ(SyncWait(loop_, OpenChain(host_, "/d@s", options)).error().code, Errc::kCorrupt);
  EXPECT_EQ(SyncWait(loop_, Control(*chain).Create("t")).error().code, Errc::kCorrupt);
}

}  // namespace
}  // namespace mica
