// SPDX-License-Identifier: Apache-2.0
// ImageChain over a toy format, against a reference disk. The real formats are tested the same way,
// and for crashes, in tests/.
#include "engine/image_chain.h"

#include <gtest/gtest.h>

#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "engine/base/prng.h"
#include "engine/digest.h"
#include "tests/support/toy_layer.h"

namespace mica {
namespace {

using testing::ToyLayer;

struct Fixture {
  // depth layers over each other; parents are filled through a chain of their own first.
  explicit Fixture(uint64_t head_size, std::vector<uint64_t> parent_sizes = {}) {
    std::vector<std::unique_ptr<Layer>> layers;
    layers.push_back(std::make_unique<ToyLayer>(loop, head_size, true));
    for (const uint64_t size : parent_sizes) {
      layers.push_back(std::make_unique<ToyLayer>(loop, size, false));
    }
    chain = std::make_unique<ImageChain>(loop, std::move(layers));
    reference.resize(head_size);
  }
  ToyLayer& toy(size_t depth) { return static_cast<ToyLayer&>(chain->layer(depth)); }

  void FillParent(size_t depth, uint64_t cluster, std::byte value) {
    ToyLayer& layer = toy(depth);
    const uint64_t end = std::min((cluster + 1) * 4096, layer.info().virtual_size);
    const std::vector<std::byte> data(end - cluster * 4096, value);
    WritePlan plan = SyncWait(loop, layer.PrepareWrite(RangeBetween(cluster * 4096, end))).value();
    plan.digests.push_back(DigestBlock(data));
    ASSERT_TRUE(SyncWait(loop, layer.file.Write(plan.targets[0].host_offset, data)).has_value());
    ASSERT_TRUE(SyncWait(loop, layer.PublishWrite(std::move(plan))).has_value());
  }

  MemoryLoop loop;
  std::unique_ptr<ImageChain> chain;
  std::vector<std::byte> reference;
};

TEST(ImageChain, ReadsThroughToParentsAndZeroBelow) {
  Fixture f(5 * 4096, {4 * 4096 - 512, 2 * 4096});
  f.FillParent(1, 0, std::byte{1});
  f.FillParent(1, 3, std::byte{3});  // short block at the end of a shorter parent
  f.FillParent(2, 1, std::byte{2});
  std::vector<std::byte> all(5 * 4096);
  ASSERT_TRUE(SyncWait(f.loop, f.chain->Read(0, all)).has_value());
  EXPECT_EQ(all[0], std::byte{1});
  EXPECT_EQ(all[4096], std::byte{2});
  EXPECT_EQ(all[2 * 4096], std::byte{0});
  EXPECT_EQ(all[3 * 4096], std::byte{3});
  EXPECT_EQ(all[4 * 4096 - 513], std::byte{3});
  EXPECT_EQ(all[4 * 4096 - 512], std::byte{0});
  const auto status = SyncWait(f.loop, f.chain->Status(ByteRange{0, 5 * 4096}, 100)).value();
  const std::vector<StatusExtent> expected = {{4096, false, false, 2},
                                              {4096, false, false, 3},
                                              {4096, true, true, 0},
                                              {4096 - 512, false, false, 2},
                                              {4096 + 512, true, true, 0}};
  EXPECT_EQ(status, expected);
}

TEST(ImageChain, StatusIsCutToTheRequestAndTheLimit) {
  Fixture f(4 * 4096, {4 * 4096});
  f.FillParent(1, 1, std::byte{1});
  const auto part = SyncWait(f.loop, f.chain->Status(ByteRange{4000, 200}, 100)).value();
  const std::vector<StatusExtent> expected = {{96, true, true, 0}, {104, false, false, 2}};
  EXPECT_EQ(part, expected);
  const auto one = SyncWait(f.loop, f.chain->Status(ByteRange{0, 4 * 4096}, 1)).value();
  EXPECT_EQ(one, (std::vector<StatusExtent>{{4096, true, true, 0}}));
}

TEST(ImageChain, VerifiesTheBlockOfALargerParentThatItsEndCuts) {
  Fixture f(4096 + 700, {2 * 4096 - 100});
  f.FillParent(1, 0, std::byte{1});
  f.FillParent(1, 1, std::byte{2});
  std::vector<std::byte> all(4096 + 700);
  ASSERT_TRUE(SyncWait(f.loop, f.chain->Read(0, all)).has_value());
  EXPECT_EQ(all[4095], std::byte{1});
  EXPECT_EQ(all[4096], std::byte{2});
  EXPECT_EQ(all.back(), std::byte{2});
  f.toy(1).file.bytes[f.toy(1).clusters[1].host_offset + 2000] = std::byte{9};
  EXPECT_EQ(SyncWait(f.loop, f.chain->Read(4096, std::span(all).first(10))).error().code,
            Errc::kCorrupt);
}

TEST(ImageChain, DetectsAChangedBlockAndNamesIt) {
  Fixture f(2 * 4096);
  const std::vector<std::byte> data(4096, std::byte{9});
  ASSERT_TRUE(SyncWait(f.loop, f.chain->Write(4096, data, Durability::kVolatile)).has_value());
  f.toy(0).file.bytes[100] = std::byte{8};
  std::vector<std::byte> back(10);
  const Result<void> read = SyncWait(f.loop, f.chain->Read(5000, back));
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().code, Errc::kCorrupt);
  EXPECT_NE(read.error().message.find("guest offset 4096"), std::string::npos);
}

TEST(ImageChain, CancelsAWriteWhoseDataDidNotArrive) {
  Fixture f(4 * 4096);
  f.toy(0).file.fail_writes = true;
  const std::vector<std::byte> data(8192, std::byte{9});
  const Result<void> written = SyncWait(f.loop, f.chain->Write(0, data, Durability::kVolatile));
  ASSERT_FALSE(written.has_value());
  EXPECT_EQ(written.error().code, Errc::kNoSpace);
  EXPECT_EQ(f.toy(0).cancelled, 1);
  EXPECT_EQ(f.toy(0).published, 0);
}

TEST(ImageChain, ForcedDurabilityFlushesTheHead) {
  Fixture f(4 * 4096);
  const std::vector<std::byte> data(4096, std::byte{9});
  ASSERT_TRUE(SyncWait(f.loop, f.chain->Write(0, data, Durability::kVolatile)).has_value());
  EXPECT_EQ(f.toy(0).flushed, 0);
  ASSERT_TRUE(SyncWait(f.loop, f.chain->Write(0, data, Durability::kForced)).has_value());
  EXPECT_EQ(f.toy(0).flushed, 1);
}

TEST(ImageChain, RefusesRangesOutsideTheDisk) {
  Fixture f(4096 + 512);
  std::vector<std::byte> buffer(513);
  for (const uint64_t offset : {uint64_t{4096}, uint64_t{5000}, UINT64_MAX, UINT64_MAX - 512}) {
    EXPECT_EQ(SyncWait(f.loop, f.chain->Read(offset, buffer)).error().code, Errc::kOutOfRange);
    EXPECT_EQ(SyncWait(f.loop, f.chain->Write(offset, buffer, Durability::kVolatile)).error().code,
              Errc::kOutOfRange);
  }
}

TEST(ImageChain, MatchesAReferenceDiskUnderRandomRequests) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(seed);
    Prng prng(seed);
    const uint64_t size = 16 * 4096 + prng.Below(3) * 512;
    Fixture f(size, {size - prng.Below(5) * 1000, 6 * 4096});
    for (uint64_t cluster = 0; cluster < 5; ++cluster) {
      f.FillParent(2, cluster, std::byte(cluster + 100));
      std::fill_n(f.reference.begin() + static_cast<int64_t>(cluster * 4096), 4096,
                  std::byte(cluster + 100));
    }
    for (int step = 0; step < 300; ++step) {
      const uint64_t offset = prng.Below(size);
      const uint64_t length = 1 + prng.Below(std::min<uint64_t>(size - offset, 3 * 4096));
      const ByteRange range{offset, length};
      const auto first = f.reference.begin() + static_cast<int64_t>(offset);
      switch (prng.Below(4)) {
        case 0: {
          const std::vector<std::byte> data(length, std::byte(step));
          ASSERT_TRUE(
              SyncWait(f.loop, f.chain->Write(offset, data, Durability::kVolatile)).has_value());
          std::ranges::copy(data, first);
          break;
        }
        case 1: {
          const ZeroHint hint = prng.OneIn(2) ? ZeroHint::kMayUnmap : ZeroHint::kKeepSpace;
          ASSERT_TRUE(SyncWait(f.loop, f.chain->WriteZeroes(range, hint, Durability::kVolatile))
                          .has_value());
          std::fill_n(first, length, std::byte{0});
          break;
        }
        default: {
          std::vector<std::byte> back(length);
          ASSERT_TRUE(SyncWait(f.loop, f.chain->Read(offset, back)).has_value());
          ASSERT_TRUE(std::equal(back.begin(), back.end(), first)) << "step " << step;
        }
      }
    }
  }
}

Task<void> WriteBlock(ImageChain& chain, std::vector<std::byte> data, uint64_t offset, int& done) {
  const Result<void> written = co_await chain.Write(offset, data, Durability::kVolatile);
  EXPECT_TRUE(written.has_value());
  ++done;
}

TEST(ImageChain, ConcurrentPartsOfOneClusterAllArrive) {
  Fixture f(4096);
  int done = 0;
  for (uint64_t part = 0; part < 8; ++part) {
    const std::vector<std::byte> data(512, std::byte(part + 1));
    f.loop.Spawn(WriteBlock(*f.chain, data, part * 512, done));
  }
  f.loop.RunUntil([&] { return done == 8; });
  std::vector<std::byte> back(4096);
  ASSERT_TRUE(SyncWait(f.loop, f.chain->Read(0, back)).has_value());
  for (size_t i = 0; i < back.size(); ++i) EXPECT_EQ(back[i], std::byte(i / 512 + 1));
}

}  // namespace
}  // namespace mica
