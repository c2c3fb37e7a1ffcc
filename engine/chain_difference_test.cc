// SPDX-License-Identifier: Apache-2.0
#include "engine/chain_difference.h"

#include <gtest/gtest.h>

#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "tests/support/toy_layer.h"

namespace mica {
namespace {

using testing::ToyLayer;

constexpr uint64_t kBlock = 4096;

std::unique_ptr<ImageChain> MakeChain(EventLoop& loop, uint64_t size, size_t depth) {
  std::vector<std::unique_ptr<Layer>> layers;
  for (size_t i = 0; i < depth; ++i) {
    layers.push_back(std::make_unique<ToyLayer>(loop, size, i == 0));
  }
  return std::make_unique<ImageChain>(loop, std::move(layers));
}

void WriteByte(EventLoop& loop, ImageChain& chain, uint64_t offset, uint64_t length, int value) {
  const std::vector<std::byte> data(length, static_cast<std::byte>(value));
  ASSERT_TRUE(SyncWait(loop, chain.Write(offset, data, Durability::kVolatile)).has_value());
}

TEST(RangesAbove, ListsWhatTheHeadHolds) {
  MemoryLoop loop;
  const auto chain = MakeChain(loop, 100 * kBlock, 2);
  WriteByte(loop, *chain, 3 * kBlock, 2 * kBlock, 1);
  WriteByte(loop, *chain, 50 * kBlock + 7, 1, 1);
  const auto ranges = SyncWait(loop, RangesAbove(*chain, 1)).value();
  EXPECT_EQ(ranges, (std::vector<ByteRange>{{3 * kBlock, 2 * kBlock}, {50 * kBlock, kBlock}}));
  EXPECT_TRUE(SyncWait(loop, RangesAbove(*chain, 0)).value().empty());
}

TEST(DifferingRanges, ComparesContentWhereverItLives) {
  MemoryLoop loop;
  const auto a = MakeChain(loop, 20 * kBlock, 1);
  const auto b = MakeChain(loop, 20 * kBlock, 3);
  for (ImageChain* chain : {a.get(), b.get()}) WriteByte(loop, *chain, 0, 10 * kBlock, 5);
  WriteByte(loop, *a, 2 * kBlock, 1, 6);
  WriteByte(loop, *b, 3 * kBlock, 1, 7);
  WriteByte(loop, *b, 15 * kBlock, kBlock, 0);  // stored zeroes equal absent ones
  const auto ranges = SyncWait(loop, DifferingRanges(*a, *b)).value();
  EXPECT_EQ(ranges, (std::vector<ByteRange>{{2 * kBlock, 2 * kBlock}}));
}

TEST(DifferingRanges, TheRestOfALongerDiskDiffers) {
  MemoryLoop loop;
  const auto a = MakeChain(loop, 4 * kBlock + 512, 1);
  const auto b = MakeChain(loop, 6 * kBlock, 1);
  WriteByte(loop, *a, 4 * kBlock, 512, 9);
  WriteByte(loop, *b, 4 * kBlock, 512, 9);
  const auto ranges = SyncWait(loop, DifferingRanges(*a, *b)).value();
  ASSERT_EQ(ranges.size(), 1u);
  EXPECT_EQ(ranges.front().end(), 6 * kBlock);
  EXPECT_GE(ranges.front().offset, 4 * kBlock);
}

TEST(RangesWithin, CutsToTheWindowAndCountsFromIt) {
  const std::vector<ByteRange> ranges = {{0, 5}, {8, 4}, {14, 10}, {30, 1}};
  EXPECT_EQ(RangesWithin(ranges, ByteRange{10, 10}), (std::vector<ByteRange>{{0, 2}, {4, 6}}));
  EXPECT_TRUE(RangesWithin(ranges, ByteRange{5, 3}).empty());
}

}  // namespace
}  // namespace mica
