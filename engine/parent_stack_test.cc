// SPDX-License-Identifier: Apache-2.0
// ParentStack over a toy format: against a plain walk down the layers, layers of different sizes,
// and what its index costs and forgets.
#include "engine/parent_stack.h"

#include <gtest/gtest.h>

#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "engine/base/prng.h"
#include "engine/digest.h"
#include "engine/image_chain.h"
#include "tests/support/toy_layer.h"

namespace mica {
namespace {

using testing::ToyLayer;
using Data = std::vector<std::byte>;

constexpr uint64_t kBlock = 4096;

// A toy parent that counts how often it is asked and can fail.
class CountingLayer final : public Layer {
 public:
  CountingLayer(EventLoop& loop, uint64_t size, uint64_t parent_bytes)
      : toy(loop, size, false), loop_(loop), info_(toy.info()) {
    info_.parent_bytes = parent_bytes;
  }
  [[nodiscard]] const LayerInfo& info() const noexcept override { return info_; }
  BlockFile& data_file() noexcept override { return toy.data_file(); }
  Async<Mapping> Map(ByteRange range) override {
    ++maps;
    if (failures > 0) {
      --failures;
      co_return Error{Errc::kIo, "not now"};
    }
    co_await loop_.Yield();
    co_return co_await toy.Map(range);
  }
  Async<WritePlan> PrepareWrite(ByteRange range) override { return toy.PrepareWrite(range); }
  Async<void> PublishWrite(WritePlan plan) override { return toy.PublishWrite(std::move(plan)); }
  void CancelWrite(WritePlan plan) noexcept override { toy.CancelWrite(std::move(plan)); }
  Async<void> Unmap(ByteRange range, ExtentKind becomes) override {
    return toy.Unmap(range, becomes);
  }
  Async<void> Flush() override { return toy.Flush(); }
  Async<void> Close() override { return toy.Close(); }

  ToyLayer toy;
  int maps = 0;
  int failures = 0;

 private:
  EventLoop& loop_;
  LayerInfo info_;
};

struct Shape {
  uint64_t size;
  uint64_t parent_bytes = UINT64_MAX;
};

// The layers, and what each of their blocks is filled with.
class Fixture {
 public:
  explicit Fixture(const std::vector<Shape>& shapes) {
    for (const Shape& shape : shapes) {
      layers.push_back(std::make_shared<CountingLayer>(loop, shape.size, shape.parent_bytes));
    }
  }

  void Fill(size_t layer, uint64_t block, std::byte value) {
    ToyLayer& toy = layers[layer]->toy;
    const uint64_t end = std::min((block + 1) * kBlock, toy.info().virtual_size);
    const Data data(end - block * kBlock, value);
    WritePlan plan = SyncWait(loop, toy.PrepareWrite(RangeBetween(block * kBlock, end))).value();
    plan.digests.push_back(DigestBlock(data));
    ASSERT_TRUE(SyncWait(loop, toy.file.Write(plan.targets[0].host_offset, data)));
    ASSERT_TRUE(SyncWait(loop, toy.PublishWrite(std::move(plan))));
  }
  void Zero(size_t layer, uint64_t block) {
    layers[layer]->toy.clusters[block] = {ExtentKind::kZero, 0, 0};
  }

  std::shared_ptr<ParentStack> Stack(ParentStackOptions options = {}) {
    std::vector<std::shared_ptr<Layer>> all(layers.begin(), layers.end());
    return std::make_shared<ParentStack>(loop, std::move(all), std::move(options));
  }

  // Byte by byte, as the header of parent_stack.h defines it.
  std::byte Expected(uint64_t at) {
    for (const std::shared_ptr<CountingLayer>& layer : layers) {
      if (at >= layer->info().virtual_size) return std::byte{0};
      const auto found = layer->toy.clusters.find(at / kBlock);
      if (found != layer->toy.clusters.end() && found->second.kind != ExtentKind::kUnallocated) {
        if (found->second.kind == ExtentKind::kZero) return std::byte{0};
        return layer->toy.file.bytes[found->second.host_offset + at % kBlock];
      }
      if (at >= layer->info().parent_bytes) return std::byte{0};
    }
    return std::byte{0};
  }

  MemoryLoop loop;
  std::vector<std::shared_ptr<CountingLayer>> layers;
};

TEST(ParentStack, ALargerLayerDoesNotShowBehindTheEndOfASmallerOne) {
  Fixture f({{8 * kBlock}, {4 * kBlock - 100}, {8 * kBlock}});
  for (uint64_t block = 0; block < 8; ++block) f.Fill(2, block, std::byte(block + 1));
  f.Fill(1, 1, std::byte{77});
  const auto stack = f.Stack();
  Data all(8 * kBlock);
  ASSERT_TRUE(SyncWait(f.loop, stack->Read(0, all)));
  EXPECT_EQ(all[0], std::byte{1});
  EXPECT_EQ(all[kBlock], std::byte{77});
  EXPECT_EQ(all[4 * kBlock - 101], std::byte{4});
  for (uint64_t at = 4 * kBlock - 100; at < all.size(); ++at) ASSERT_EQ(all[at], std::byte{0});
}

TEST(ParentStack, ParentBytesCutWhatShowsThrough) {
  Fixture f({{4 * kBlock, 2 * kBlock + 10}, {4 * kBlock}});
  for (uint64_t block = 0; block < 4; ++block) f.Fill(1, block, std::byte{9});
  f.Fill(0, 3, std::byte{5});
  const auto stack = f.Stack();
  Data all(4 * kBlock);
  ASSERT_TRUE(SyncWait(f.loop, stack->Read(0, all)));
  EXPECT_EQ(all[2 * kBlock + 9], std::byte{9});
  EXPECT_EQ(all[2 * kBlock + 10], std::byte{0});
  EXPECT_EQ(all[3 * kBlock], std::byte{5});
}

TEST(ParentStack, AHeadSmallerThanItsParentReadsItsLastShortBlock) {
  Fixture f(std::vector<Shape>{{4 * kBlock}});
  f.Fill(0, 2, std::byte{3});
  auto head = std::make_shared<ToyLayer>(f.loop, 2 * kBlock + 50, true);
  ImageChain chain(f.loop, head, f.Stack());
  Data last(50);
  ASSERT_TRUE(SyncWait(f.loop, chain.Read(2 * kBlock, last)));
  EXPECT_EQ(last, Data(50, std::byte{3}));
}

TEST(ParentStack, MatchesAWalkDownTheLayers) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    Prng prng(seed);
    constexpr uint64_t kBlocks = 40;
    std::vector<Shape> shapes;
    for (uint64_t i = 0; i < 1 + prng.Below(6); ++i) {
      Shape shape{kBlocks * kBlock - prng.Below(3) * prng.Below(5000)};
      if (prng.OneIn(4)) shape.parent_bytes = prng.Below(kBlocks * kBlock);
      shapes.push_back(shape);
    }
    Fixture f(shapes);
    for (size_t layer = 0; layer < shapes.size(); ++layer) {
      for (uint64_t block = 0; block * kBlock < shapes[layer].size; ++block) {
        if (prng.OneIn(4)) f.Fill(layer, block, std::byte(1 + prng.Below(255)));
        if (prng.OneIn(12)) f.Zero(layer, block);
      }
    }
    const auto stack = f.Stack();
    const uint64_t size = stack->size();
    for (int i = 0; i < 20; ++i) {
      // Whole blocks, or up to the end, as a chain asks.
      const uint64_t offset = AlignDown(prng.Below(size), kBlock);
      const uint64_t end = std::min(size + kBlock, offset + (1 + prng.Below(8)) * kBlock);
      Data back(end - offset, std::byte{0xee});
      ASSERT_TRUE(SyncWait(f.loop, stack->Read(offset, back)));
      for (uint64_t at = offset; at < end; ++at) {
        ASSERT_EQ(back[at - offset], f.Expected(at)) << at;
      }
    }
    const auto runs = SyncWait(f.loop, stack->Owners(ByteRange{0, size})).value();
    uint64_t at = 0;
    for (const OwnerRun& run : runs) {
      EXPECT_EQ(run.guest.offset, at);
      EXPECT_NE(run.owner.kind, Owner::Kind::kMixed);
      at = run.guest.end();
    }
    EXPECT_EQ(at, size);
  }
}

TEST(ParentStack, AsksOneLayerForARead) {
  Fixture f(std::vector<Shape>(20, Shape{16 * kBlock}));
  f.Fill(12, 5, std::byte{1});
  const auto stack = f.Stack();
  Data back(kBlock);
  ASSERT_TRUE(SyncWait(f.loop, stack->Read(0, back)));  // builds the index
  for (const auto& layer : f.layers) layer->maps = 0;
  ASSERT_TRUE(SyncWait(f.loop, stack->Read(5 * kBlock, back)));
  EXPECT_EQ(back[0], std::byte{1});
  for (size_t i = 0; i < f.layers.size(); ++i) EXPECT_EQ(f.layers[i]->maps, i == 12 ? 1 : 0) << i;
}

Task<void> ReadOne(ParentStack& stack, uint64_t offset, Data& back, int& done) {
  EXPECT_TRUE((co_await stack.Read(offset, back)).has_value());
  ++done;
}

TEST(ParentStack, ManyFirstTouchesBuildARegionOnce) {
  Fixture f(std::vector<Shape>(3, Shape{16 * kBlock}));
  f.Fill(1, 5, std::byte{1});
  const auto stack = f.Stack();
  int done = 0;
  std::vector<Data> back(8, Data(kBlock));
  for (Data& one : back) f.loop.Spawn(ReadOne(*stack, 5 * kBlock, one, done));
  f.loop.RunUntil([&] { return done == 8; });
  EXPECT_EQ(stack->index()->regions_built(), 1U);
  EXPECT_EQ(f.layers[0]->maps, 1);
  for (const Data& one : back) EXPECT_EQ(one[0], std::byte{1});
}

TEST(ParentStack, AFailureToBuildIsNotRemembered) {
  Fixture f(std::vector<Shape>(3, Shape{16 * kBlock}));
  f.Fill(1, 5, std::byte{1});
  f.layers[1]->failures = 1;
  const auto stack = f.Stack();
  Data back(kBlock);
  EXPECT_EQ(SyncWait(f.loop, stack->Read(5 * kBlock, back)).error().code, Errc::kIo);
  ASSERT_TRUE(SyncWait(f.loop, stack->Read(5 * kBlock, back)));
  EXPECT_EQ(back[0], std::byte{1});
}

TEST(ParentStack, TheIndexStaysUnderItsLimit) {
  constexpr uint64_t kRegions = 4;
  Fixture f(std::vector<Shape>(2, Shape{kRegions * kIndexRegionBytes}));
  for (uint64_t region = 0; region < kRegions; ++region) {
    const uint64_t first = region * kIndexRegionBlocks;
    for (uint64_t i = 0; i < 200; i += 2)
      f.layers[0]->toy.clusters[first + i].kind = ExtentKind::kZero;
    f.Fill(0, first + 300, std::byte(region + 1));
  }
  ParentStackOptions options;
  options.index_bytes_max = 1500;
  const auto stack = f.Stack(std::move(options));
  Data back(kBlock);
  for (int round = 0; round < 2; ++round) {
    for (uint64_t region = 0; region < kRegions; ++region) {
      const uint64_t block = region * kIndexRegionBlocks + 300;
      ASSERT_TRUE(SyncWait(f.loop, stack->Read(block * kBlock, back)));
      EXPECT_EQ(back[0], std::byte(region + 1));
      EXPECT_LE(stack->index()->memory_bytes(), 1500U);
    }
  }
  EXPECT_GT(stack->index()->regions_built(), kRegions);
}

}  // namespace
}  // namespace mica
