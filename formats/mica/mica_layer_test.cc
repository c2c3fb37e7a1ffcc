// SPDX-License-Identifier: Apache-2.0
// The mica layer against its promises: reads in flight, group flush, failed syncs, space, attach.
#include "formats/mica/mica_layer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "engine/async/when_all.h"
#include "engine/base/prng.h"
#include "engine/io/memory_host.h"
#include "formats/mica/mica_format.h"
#include "formats/open_chain.h"

namespace mica {
namespace {

using Data = std::vector<std::byte>;
constexpr uint64_t kMiB = uint64_t{1} << 20;

Data Filled(size_t size, uint64_t value) {
  Data data(size);
  Prng prng(value);
  for (size_t i = 0; i + 8 <= size; i += 8) StoreLe<uint64_t>(data, i, prng.Next());
  return data;
}

class MicaLayerTest : public testing::Test {
 protected:
  void Create(uint64_t size, std::map<std::string, std::string> extra = {}) {
    CreateOptions options;
    options.virtual_size = size;
    options.extra = std::move(extra);
    ASSERT_TRUE(SyncWait(loop_, format_.Create(host_, "/d", options)));
    ASSERT_TRUE(SyncWait(loop_, host_.SyncDirectory("/")));
  }
  std::unique_ptr<ImageChain> Open() {
    OpenChainOptions options;
    options.writable = true;
    return SyncWait(loop_, OpenChain(host_, "/d", options)).value();
  }
  void Write(ImageChain& chain, uint64_t offset, const Data& data) {
    const Result<void> written = SyncWait(loop_, chain.Write(offset, data, Durability::kVolatile));
    ASSERT_TRUE(written) << written.error().message;
  }
  void Flush(ImageChain& chain) { ASSERT_TRUE(SyncWait(loop_, chain.Flush())); }
  void Close(std::unique_ptr<ImageChain> chain) {
    const Result<void> closed = SyncWait(loop_, chain->Close());
    ASSERT_TRUE(closed) << closed.error().message;
  }
  void Drop(std::unique_ptr<ImageChain> chain) {
    chain.reset();
    loop_.RunUntil([this] { return loop_.spawned_tasks() == 0; });
  }
  uint64_t FileBytes() { return SyncWait(loop_, host_.Stat("/d")).value().size; }
  uint64_t CountCalls(HostCallKind kind, const std::function<void()>& body) {
    uint64_t count = 0;
    host_.faults().SetFaultHook([&](const HostCall& call) -> std::optional<Fault> {
      if (call.kind == kind) ++count;
      return std::nullopt;
    });
    body();
    host_.faults().SetFaultHook({});
    return count;
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
};

TEST_F(MicaLayerTest, ASlotIsNotReusedWhileAReadOfItIsInFlight) {
  Create(kMiB);
  auto chain = Open();
  Layer& layer = chain->layer(0);
  const Data first = Filled(4096, 1);
  Write(*chain, 0, first);
  Flush(*chain);
  std::optional<Mapping> in_flight = SyncWait(loop_, layer.Map({0, 4096})).value();
  const uint64_t host_offset = in_flight->extents.at(0).host_offset;
  const auto slot_holds_first = [&] {
    Data back(4096);
    EXPECT_TRUE(SyncWait(loop_, layer.data_file().Read(host_offset, back)));
    return back == first;
  };
  for (uint64_t i = 0; i < 600; ++i) {
    Write(*chain, (i % 50) * 4096, Filled(4096, 2 + i));
    if (i % 3 == 0) Flush(*chain);
    ASSERT_TRUE(slot_holds_first()) << i;
  }
  in_flight.reset();
  for (uint64_t i = 0; i < 600 && slot_holds_first(); ++i) {
    Write(*chain, (i % 50) * 4096, Filled(4096, 1000 + i));
    Flush(*chain);
  }
  EXPECT_FALSE(slot_holds_first()) << "the slot never came back";
  Close(std::move(chain));
}

TEST_F(MicaLayerTest, FlushesShareASyncAndAnIdleOneNeedsNone) {
  Create(kMiB);
  auto chain = Open();
  Write(*chain, 0, Filled(4096, 1));
  Flush(*chain);
  EXPECT_EQ(CountCalls(HostCallKind::kSync, [&] { Flush(*chain); }), 0u);
  host_.faults().DelayCalls(1, 4);
  const uint64_t syncs = CountCalls(HostCallKind::kSync, [&] {
    std::vector<Async<void>> writes;
    std::vector<Data> data;
    for (uint64_t i = 0; i < 32; ++i) data.push_back(Filled(4096, i));
    for (uint64_t i = 0; i < 32; ++i) {
      writes.push_back(chain->Write(i * 4096, data[i], Durability::kForced));
    }
    ASSERT_TRUE(SyncWait(loop_, WhenAll(loop_, std::move(writes))));
  });
  EXPECT_LT(syncs, 16u);
  host_.faults().DelayCalls(1, 0);
  Close(std::move(chain));
}

TEST_F(MicaLayerTest, AfterAFailedSyncNothingIsPromisedAndTheImageIsNotMarkedClean) {
  Create(kMiB);
  auto chain = Open();
  Write(*chain, 0, Filled(4096, 1));
  Flush(*chain);
  Write(*chain, 4096, Filled(4096, 2));
  bool failed = false;
  host_.faults().SetFaultHook([&failed](const HostCall& call) -> std::optional<Fault> {
    if (call.kind != HostCallKind::kSync || std::exchange(failed, true)) return std::nullopt;
    return Fault{};
  });
  EXPECT_FALSE(SyncWait(loop_, chain->Flush()).has_value());
  EXPECT_FALSE(SyncWait(loop_, chain->Flush()).has_value());
  const Data data = Filled(4096, 3);
  EXPECT_FALSE(SyncWait(loop_, chain->Write(0, data, Durability::kVolatile)).has_value());
  Data back(4096);
  EXPECT_TRUE(SyncWait(loop_, chain->Read(0, back)).has_value());
  EXPECT_FALSE(SyncWait(loop_, chain->Close()).has_value());
  EXPECT_FALSE(SuperblockOnDisk().clean);
  Drop(std::move(chain));
  host_.faults().SetFaultHook({});
  chain = Open();
  ASSERT_TRUE(SyncWait(loop_, chain->Read(0, back)));
  EXPECT_EQ(back, Filled(4096, 1));
  Close(std::move(chain));
  EXPECT_TRUE(SuperblockOnDisk().clean);
}

TEST_F(MicaLayerTest, AFailingDiskIsNeverMarkedClean) {
  for (const HostCallKind kind : {HostCallKind::kWrite, HostCallKind::kSync}) {
    static_cast<void>(SyncWait(loop_, host_.Remove("/d")));
    Create(kMiB);
    auto chain = Open();
    Write(*chain, 0, Filled(4096, 1));
    Flush(*chain);
    host_.faults().SetFaultHook([kind](const HostCall& call) -> std::optional<Fault> {
      if (call.kind != kind) return std::nullopt;
      return Fault{};
    });
    EXPECT_FALSE(SyncWait(loop_, chain->Close()).has_value());
    host_.faults().SetFaultHook({});
    Drop(std::move(chain));
    EXPECT_FALSE(SuperblockOnDisk().clean);
  }
}

TEST_F(MicaLayerTest, RewritingDoesNotGrowTheFile) {
  Create(64 * kMiB);
  auto chain = Open();
  for (uint64_t round = 0; round < 20; ++round) {
    for (uint64_t at = 0; at < 4 * kMiB; at += 256 * 1024) {
      Write(*chain, at, Filled(256 * 1024, round));
    }
    Flush(*chain);
  }
  EXPECT_LE(FileBytes(), 14 * kMiB);
  Close(std::move(chain));
  EXPECT_LE(FileBytes(), 12 * kMiB);
}

TEST_F(MicaLayerTest, FreeSpaceIsFoundAgainAfterReopening) {
  Create(64 * kMiB);
  for (uint64_t round = 0; round < 12; ++round) {
    auto chain = Open();
    for (uint64_t at = 0; at < 4 * kMiB; at += 64 * 1024) {
      Write(*chain, at, Filled(64 * 1024, round));
    }
    if (round % 3 == 0) Flush(*chain);
    if (round % 3 == 1) {
      Drop(std::move(chain));
    } else {
      Close(std::move(chain));
    }
  }
  EXPECT_LE(FileBytes(), 16 * kMiB);
}

TEST_F(MicaLayerTest, DiscardedSpaceIsUsedAgain) {
  Create(64 * kMiB);
  auto chain = Open();
  for (uint64_t round = 0; round < 10; ++round) {
    Write(*chain, round * 5 * kMiB, Filled(4 * kMiB, round));
    const ByteRange range{round * 5 * kMiB, 4 * kMiB};
    ASSERT_TRUE(SyncWait(loop_, chain->Discard(range, Durability::kForced)));
  }
  EXPECT_LE(FileBytes(), 12 * kMiB);
  Close(std::move(chain));
}

TEST_F(MicaLayerTest, RandomSmallWritesTakeLittleMoreThanTheirData) {
  constexpr uint64_t kBlocks = 16'384;  // 64 MiB in a disk of 1 GiB
  Create(1024 * kMiB);
  auto chain = Open();
  Prng prng(5);
  std::set<uint64_t> written;
  while (written.size() < kBlocks) {
    const uint64_t block = prng.Below(1024 * kMiB / 4096);
    if (!written.insert(block).second) continue;
    Write(*chain, block * 4096, Filled(4096, block));
    if (written.size() % 64 == 0) Flush(*chain);
  }
  const uint64_t data_bytes = kBlocks * 4096;
  // The log is set aside whatever the size: 1 MiB at first.
  EXPECT_LE(FileBytes(), data_bytes * 105 / 100 + 2 * kMiB);
  Close(std::move(chain));
  EXPECT_LE(FileBytes(), data_bytes * 105 / 100);
}

TEST_F(MicaLayerTest, AttachCostsTheSameAtAnySize) {
  std::vector<uint64_t> calls;
  for (const uint64_t size : {kMiB, 1024 * kMiB, 16 * 1024 * 1024 * kMiB}) {
    static_cast<void>(SyncWait(loop_, host_.Remove("/d")));
    Create(size);
    auto chain = Open();
    for (uint64_t i = 0; i < 300; ++i) {
      Write(*chain, AlignDown(size / 300 * i, 4096), Filled(4096, i));
    }
    Close(std::move(chain));
    const uint64_t before = host_.faults().calls_made();
    chain = Open();
    calls.push_back(host_.faults().calls_made() - before);
    Close(std::move(chain));
  }
  EXPECT_THAT(calls, testing::Each(testing::Le(8u)));
}

TEST_F(MicaLayerTest, TheLogGrowsUnderLoad) {
  Create(256 * kMiB, {{"log_size", "65536"}});
  auto chain = Open();
  for (uint64_t i = 0; i < 4000; ++i) {
    Write(*chain, (i % 8000) * 8192, Filled(4096, i));
    if (i % 4 == 0) Flush(*chain);
  }
  EXPECT_GT(SuperblockOnDisk().log.count, 16u);
  const auto crashed = host_.CrashImage({PowerCutKind::kLoseAll});
  const CheckReport report =
      SyncWait(loop_, format_.Check(*crashed, "/d", CheckScope::kMetadataAndData)).value();
  EXPECT_EQ(report.corruptions, 0u);
  Close(std::move(chain));
}

TEST_F(MicaLayerTest, WhatStaysBehindIsFlushedByTheTimer) {
  Create(kMiB);
  auto chain = Open();
  Write(*chain, 0, Filled(4096, 1));
  SyncWait(loop_, loop_.SleepUntil(loop_.Now() + std::chrono::seconds(4)));
  const auto crashed = host_.CrashImage({PowerCutKind::kLoseAll});
  OpenChainOptions options;
  const auto reopened = SyncWait(loop_, OpenChain(*crashed, "/d", options)).value();
  Data back(4096);
  ASSERT_TRUE(SyncWait(loop_, reopened->Read(0, back)));
  EXPECT_EQ(back, Filled(4096, 1));
  Close(std::move(chain));
}

TEST_F(MicaLayerTest, AWriteLargerThanTheLogIsDurableAfterItsFlush) {
  Create(64 * kMiB, {{"log_size", "32768"}, {"log_size_max", "32768"}});
  auto chain = Open();
  const Data data = Filled(24 * kMiB, 3);
  Write(*chain, kMiB, data);
  Flush(*chain);
  const auto crashed = host_.CrashImage({PowerCutKind::kLoseAll});
  OpenChainOptions options;
  const auto reopened = SyncWait(loop_, OpenChain(*crashed, "/d", options)).value();
  Data back(data.size());
  ASSERT_TRUE(SyncWait(loop_, reopened->Read(kMiB, back)));
  EXPECT_EQ(back, data);
  Close(std::move(chain));
}

TEST_F(MicaLayerTest, AFullHostGivesNoSpaceAndGoesOnWhenThereIsSome) {
  Create(64 * kMiB);
  auto chain = Open();
  host_.disk().SetSpaceLimit(host_.disk().used_bytes() + 8 * kMiB);
  uint64_t blocks = 0;
  Result<void> written;
  while (written) {
    written =
        SyncWait(loop_, chain->Write(blocks * 4096, Filled(4096, blocks), Durability::kVolatile));
    if (written) ++blocks;
  }
  EXPECT_EQ(written.error().code, Errc::kNoSpace);
  EXPECT_GE(blocks * 4096, 6 * kMiB);
  // Rewriting, trimming, flushing and closing go on with the disk full.
  for (uint64_t i = 0; i < blocks; i += 3) Write(*chain, i * 4096, Filled(4096, i));
  Flush(*chain);
  ASSERT_TRUE(SyncWait(loop_, chain->Discard({0, kMiB}, Durability::kForced)));
  for (uint64_t i = 256; i < 456; ++i) Write(*chain, i * 4096, Filled(4096, i));
  Close(std::move(chain));
  host_.disk().SetSpaceLimit(UINT64_MAX);
  chain = Open();
  for (uint64_t i = 0; i < 256; ++i) Write(*chain, i * 4096, Filled(4096, i));
  for (uint64_t i = blocks; i < blocks + 500; ++i) Write(*chain, i * 4096, Filled(4096, i));
  Data back(4096);
  for (uint64_t i = 0; i < blocks + 500; ++i) {
    ASSERT_TRUE(SyncWait(loop_, chain->Read(i * 4096, back)));
    ASSERT_EQ(back, Filled(4096, i)) << i;
  }
  Close(std::move(chain));
}

// Random operations of any alignment against a plain array, on disks of odd sizes.
TEST_F(MicaLayerTest, BehavesLikeADisk) {
  uint64_t seed = 1;
  for (const uint64_t size : {uint64_t{1}, uint64_t{511}, uint64_t{4095}, uint64_t{4096},
                              uint64_t{4097}, uint64_t{100'001}, 2 * kMiB + 1, 5 * kMiB - 513}) {
    SCOPED_TRACE(testing::Message() << "size " << size << " seed " << seed);
    Prng prng(seed++);
    static_cast<void>(SyncWait(loop_, host_.Remove("/d")));
    Create(size, {{"log_size", "65536"}});
    Data model(size);
    auto chain = Open();
    for (int step = 0; step < 400; ++step) {
      const uint64_t offset = prng.Below(size);
      const uint64_t length = 1 + prng.Below(std::min<uint64_t>(size - offset, 70'000));
      const ByteRange range{offset, length};
      switch (prng.Below(8)) {
        case 0: {
          ASSERT_TRUE(SyncWait(
              loop_, chain->WriteZeroes(range, ZeroHint::kMayUnmap, Durability::kVolatile)));
          std::fill_n(model.begin() + static_cast<ptrdiff_t>(offset), length, std::byte{0});
          break;
        }
        case 1: {
          if (step % 10 == 0) {
            Close(std::move(chain));
            chain = Open();
          }
          Data back(length);
          ASSERT_TRUE(SyncWait(loop_, chain->Read(offset, back)));
          ASSERT_TRUE(
              std::equal(back.begin(), back.end(), model.begin() + static_cast<ptrdiff_t>(offset)));
          break;
        }
        case 2:
          Flush(*chain);
          break;
        default: {
          Data data(length);
          for (std::byte& byte : data) byte = static_cast<std::byte>(prng.Next());
          Write(*chain, offset, data);
          std::ranges::copy(data, model.begin() + static_cast<ptrdiff_t>(offset));
        }
      }
    }
    Data back(size);
    ASSERT_TRUE(SyncWait(loop_, chain->Read(0, back)));
    EXPECT_EQ(back, model);
    Close(std::move(chain));
    const CheckReport report =
        SyncWait(loop_, format_.Check(host_, "/d", CheckScope::kMetadataAndData)).value();
    EXPECT_EQ(report.corruptions, 0u);
  }
}

}  // namespace
}  // namespace mica
