// SPDX-License-Identifier: Apache-2.0
#include "engine/io/memory_host.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "engine/async/when_all.h"

namespace mica {
namespace {

using testing::HasSubstr;
using Data = std::vector<std::byte>;

constexpr OpenOptions kWritable{.writable = true};

Data Filled(size_t size, uint8_t value) {
  return Data(size, std::byte{value});
}

class MemoryHostTest : public testing::Test {
 protected:
  std::unique_ptr<BlockFile> Create(const std::string& name) {
    return SyncWait(loop_, host_.CreateExclusive(name, kWritable)).value();
  }
  std::unique_ptr<BlockFile> Open(MemoryHost& host, const std::string& name) {
    return SyncWait(loop_, host.Open(name, kWritable)).value();
  }
  void Write(BlockFile& file, uint64_t offset, const Data& data) {
    ASSERT_TRUE(SyncWait(loop_, file.Write(offset, data)));
  }
  void Sync(BlockFile& file) { ASSERT_TRUE(SyncWait(loop_, file.Sync())); }
  void SyncDirectory(const std::string& name) {
    ASSERT_TRUE(SyncWait(loop_, host_.SyncDirectory(name)));
  }
  Data After(const PowerCutPolicy& policy, const std::string& name) {
    return host_.CrashImage(policy)->Content(name).value();
  }

  MemoryLoop loop_;
  MemoryHost host_{loop_};
};

TEST_F(MemoryHostTest, SyncedContentSurvivesEveryPolicy) {
  const auto file = Create("/d/disk");
  SyncDirectory("/d");
  Write(*file, 0, Filled(10000, 1));
  Sync(*file);
  for (uint64_t seed = 0; seed < 200; ++seed) {
    EXPECT_EQ(After(PowerCutPolicy::FromSeed(seed), "/d/disk"), Filled(10000, 1));
  }
}

TEST_F(MemoryHostTest, UnsyncedContentIsKeptOrLost) {
  const auto file = Create("/disk");
  SyncDirectory("/");
  Write(*file, 0, Filled(4096, 1));
  Sync(*file);
  Write(*file, 512, Filled(8192, 2));
  EXPECT_EQ(After({PowerCutKind::kLoseAll}, "/disk"), Filled(4096, 1));
  EXPECT_EQ(After({PowerCutKind::kKeepAll}, "/disk"), host_.Content("/disk").value());
}

// For every policy: each sector holds something it has held since the last sync, and over many
// seeds every outcome that must be possible is seen.
TEST_F(MemoryHostTest, ASectorHoldsOneOfItsOwnVersions) {
  const auto file = Create("/disk");
  SyncDirectory("/");
  Write(*file, 0, Filled(2048, 1));
  Sync(*file);
  Write(*file, 0, Filled(2048, 2));
  Write(*file, 1024, Filled(1024, 3));
  bool torn = false;
  bool reordered = false;
  for (uint64_t seed = 0; seed < 500; ++seed) {
    const Data image = After(PowerCutPolicy::FromSeed(seed), "/disk");
    ASSERT_EQ(image.size(), 2048u);
    for (size_t at = 0; at < image.size(); ++at) {
      ASSERT_EQ(image[at], image[at / 512 * 512]) << "seed " << seed << ": torn inside a sector";
      ASSERT_LE(image[at], std::byte(at < 1024 ? 2 : 3));
    }
    torn |= image[0] != image[512];
    reordered |= image[0] == std::byte{1} && image[1024] == std::byte{3};
  }
  EXPECT_TRUE(torn);
  EXPECT_TRUE(reordered);
}

TEST_F(MemoryHostTest, InOrderMeansAPrefix) {
  const auto file = Create("/disk");
  SyncDirectory("/");
  Write(*file, 0, Data(512 * 8));
  Sync(*file);
  for (uint64_t i = 0; i < 8; ++i) Write(*file, i * 512, Filled(512, 1));
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const Data image = After({PowerCutKind::kInOrder, seed}, "/disk");
    bool lost = false;
    for (uint64_t i = 0; i < 8; ++i) {
      const bool arrived = image[i * 512] == std::byte{1};
      EXPECT_FALSE(arrived && lost) << "seed " << seed;
      lost |= !arrived;
    }
  }
}

TEST_F(MemoryHostTest, SizeChangesAreVolatileToo) {
  const auto file = Create("/disk");
  SyncDirectory("/");
  Write(*file, 0, Filled(8192, 1));
  Sync(*file);
  ASSERT_TRUE(SyncWait(loop_, file->Resize(1000)));
  ASSERT_TRUE(SyncWait(loop_, file->Resize(8192)));
  EXPECT_EQ(After({PowerCutKind::kLoseAll}, "/disk"), Filled(8192, 1));
  Data cut = Filled(1000, 1);
  cut.resize(8192);
  EXPECT_EQ(After({PowerCutKind::kKeepAll}, "/disk"), cut);
}

TEST_F(MemoryHostTest, ANameIsVolatileUntilItsDirectoryIsSynced) {
  const auto file = Create("/d/new");
  Write(*file, 0, Filled(100, 1));
  Sync(*file);
  EXPECT_EQ(host_.CrashImage({PowerCutKind::kLoseAll})->Content("/d/new").error().code,
            Errc::kNotFound);
  SyncDirectory("/d");
  EXPECT_EQ(After({PowerCutKind::kLoseAll}, "/d/new"), Filled(100, 1));
}

TEST_F(MemoryHostTest, ARenameIsAtomicAndVolatile) {
  const auto old_file = Create("/disk");
  Write(*old_file, 0, Filled(10, 1));
  Sync(*old_file);
  const auto new_file = Create("/disk.tmp");
  Write(*new_file, 0, Filled(10, 2));
  Sync(*new_file);
  SyncDirectory("/");
  ASSERT_TRUE(SyncWait(loop_, host_.Rename("/disk.tmp", "/disk")));
  EXPECT_EQ(host_.Content("/disk").value(), Filled(10, 2));
  bool kept = false;
  bool lost = false;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const auto image = host_.CrashImage(PowerCutPolicy::FromSeed(seed));
    const bool arrived = image->Content("/disk").value() == Filled(10, 2);
    EXPECT_EQ(image->Content("/disk.tmp").has_value(), !arrived);
    kept |= arrived;
    lost |= !arrived;
  }
  EXPECT_TRUE(kept && lost);
  SyncDirectory("/");
  EXPECT_EQ(After({PowerCutKind::kLoseAll}, "/disk"), Filled(10, 2));
}

TEST_F(MemoryHostTest, ACutDoesNotDisturbTheHostNorTheImageTheHost) {
  const auto file = Create("/disk");
  SyncDirectory("/");
  Write(*file, 0, Filled(4096, 1));
  const auto image = host_.CrashImage({PowerCutKind::kKeepAll});
  const auto image_file = Open(*image, "/disk");
  Write(*image_file, 0, Filled(512, 9));
  Write(*file, 1024, Filled(512, 8));
  EXPECT_EQ(host_.Content("/disk").value()[0], std::byte{1});
  EXPECT_EQ(image->Content("/disk").value()[1024], std::byte{1});
}

TEST_F(MemoryHostTest, FailsTheChosenCallOnce) {
  const auto file = Create("/disk");
  host_.faults().FailCall(host_.faults().calls_made() + 2, {.sys_errno = ENOSPC});
  Write(*file, 0, Filled(10, 1));
  const Result<void> failed = SyncWait(loop_, file->Write(10, Filled(10, 2)));
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().code, Errc::kNoSpace);
  EXPECT_THAT(failed.error().message, HasSubstr("/disk"));
  Write(*file, 10, Filled(10, 3));
}

TEST_F(MemoryHostTest, AShortWriteLeavesItsFirstPart) {
  const auto file = Create("/disk");
  host_.faults().SetFaultHook([](const HostCall& call) -> std::optional<Fault> {
    if (call.kind != HostCallKind::kWrite) return std::nullopt;
    return Fault{.partial_bytes = 700};
  });
  EXPECT_FALSE(SyncWait(loop_, file->Write(0, Filled(1000, 1))));
  EXPECT_EQ(host_.Content("/disk").value(), Filled(700, 1));
}

TEST_F(MemoryHostTest, AFailedSyncPoisonsTheFileAndLosesData) {
  const auto file = Create("/disk");
  SyncDirectory("/");
  Write(*file, 0, Filled(64 * 512, 1));
  host_.faults().FailCall(host_.faults().calls_made() + 1, {});
  EXPECT_FALSE(SyncWait(loop_, file->Sync()));
  EXPECT_FALSE(SyncWait(loop_, file->Sync()));
  const auto reopened = Open(host_, "/disk");
  Sync(*reopened);
  EXPECT_EQ(host_.Content("/disk").value(), Filled(64 * 512, 1));
  EXPECT_NE(After({PowerCutKind::kKeepAll}, "/disk"), Filled(64 * 512, 1));
  Write(*reopened, 0, Filled(64 * 512, 2));
  Sync(*reopened);
  EXPECT_EQ(After({PowerCutKind::kLoseAll}, "/disk"), Filled(64 * 512, 2));
}

TEST_F(MemoryHostTest, ChangeHooksSeeEveryChangeAndPowerOffStopsTheRest) {
  std::vector<HostCallKind> seen;
  host_.faults().SetChangeHook([&](const HostCall& call) {
    seen.push_back(call.kind);
    if (call.kind == HostCallKind::kSync) host_.faults().PowerOff();
  });
  const auto file = Create("/disk");
  Write(*file, 0, Filled(10, 1));
  Sync(*file);
  EXPECT_FALSE(SyncWait(loop_, file->Write(0, Filled(10, 2))));
  EXPECT_THAT(
      seen, testing::ElementsAre(HostCallKind::kCreate, HostCallKind::kWrite, HostCallKind::kSync));
  EXPECT_EQ(host_.Content("/disk").value(), Filled(10, 1));
}

TEST_F(MemoryHostTest, SpaceRunsOutAndComesBack) {
  host_.disk().SetSpaceLimit(16 * 4096);
  const auto file = Create("/disk");
  ASSERT_TRUE(SyncWait(loop_, file->Allocate({0, 10 * 4096})));
  const Result<void> failed = SyncWait(loop_, file->Write(8 * 4096, Filled(10 * 4096, 1)));
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().code, Errc::kNoSpace);
  EXPECT_EQ(host_.disk().used_bytes(), 16u * 4096);
  Write(*file, 0, Filled(16 * 4096, 2));  // all of it is allocated
  ASSERT_TRUE(SyncWait(loop_, file->WriteZeroes({0, 4 * 4096}, ZeroMode::kDeallocate)));
  const auto other = Create("/other");
  Write(*other, 0, Filled(4 * 4096, 3));
  EXPECT_FALSE(SyncWait(loop_, other->Write(4 * 4096, Filled(1, 3))));
}

TEST_F(MemoryHostTest, RemovingTheLastUserFreesSpace) {
  auto file = Create("/disk");
  Write(*file, 0, Filled(4096, 1));
  SyncDirectory("/");
  ASSERT_TRUE(SyncWait(loop_, host_.Remove("/disk")));
  SyncDirectory("/");
  EXPECT_EQ(host_.disk().used_bytes(), 4096u);
  file.reset();
  EXPECT_EQ(host_.disk().used_bytes(), 0u);
}

Async<void> WriteThenSync(BlockFile& file, uint64_t offset, const Data& data) {
  CO_TRY(co_await file.Write(offset, data));
  CO_TRY(co_await file.Sync());
  co_return Result<void>();
}

TEST_F(MemoryHostTest, DelayedCallsReorderButASyncStillCoversWhatHadCompleted) {
  constexpr uint64_t kWriters = 8;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    MemoryHost host(loop_);
    host.faults().DelayCalls(seed, 5);
    auto file = SyncWait(loop_, host.CreateExclusive("/disk", kWritable)).value();
    ASSERT_TRUE(SyncWait(loop_, host.SyncDirectory("/")));
    std::vector<Data> data;
    for (uint64_t i = 0; i < kWriters; ++i)
      data.push_back(Filled(4096, static_cast<uint8_t>(i + 1)));
    std::vector<Async<void>> tasks;
    for (uint64_t i = 0; i < kWriters; ++i) {
      tasks.push_back(WriteThenSync(*file, i * 4096, data[i]));
    }
    ASSERT_TRUE(SyncWait(loop_, WhenAll(loop_, std::move(tasks))));
    const Data image = host.CrashImage({PowerCutKind::kLoseAll})->Content("/disk").value();
    for (uint64_t i = 0; i < kWriters; ++i) ASSERT_EQ(image[i * 4096 + 4095], data[i][0]);
  }
}

Async<void> Note(BlockFile& file, int number, const Data& data, std::vector<int>& order) {
  CO_TRY(co_await file.Write(0, data));
  order.push_back(number);
  co_return Result<void>();
}

TEST_F(MemoryHostTest, DelayedCallsCompleteInShuffledOrder) {
  host_.faults().DelayCalls(7, 9);
  const auto file = Create("/disk");
  const Data data = Filled(4096, 1);
  std::vector<int> order;
  std::vector<Async<void>> tasks;
  for (int i = 0; i < 10; ++i) tasks.push_back(Note(*file, i, data, order));
  ASSERT_TRUE(SyncWait(loop_, WhenAll(loop_, std::move(tasks))));
  EXPECT_EQ(order.size(), 10u);
  EXPECT_FALSE(std::ranges::is_sorted(order));
}

TEST_F(MemoryHostTest, ManyCutsAreCheap) {
  constexpr uint64_t kCuts = 20'000;
  const auto file = Create("/disk");
  SyncDirectory("/");
  Write(*file, 0, Filled(4 << 20, 1));
  Sync(*file);
  for (uint64_t i = 0; i < 32; ++i) Write(*file, i * 65536, Filled(4096, 2));
  uint64_t bytes_seen = 0;
  for (uint64_t seed = 0; seed < kCuts; ++seed) {
    const auto image = host_.CrashImage(PowerCutPolicy::FromSeed(seed));
    const auto image_file = Open(*image, "/disk");
    Data block(4096);
    ASSERT_TRUE(SyncWait(loop_, image_file->Read(0, block)));
    bytes_seen += block.size();
  }
  EXPECT_EQ(bytes_seen, kCuts * 4096);
}

}  // namespace
}  // namespace mica
