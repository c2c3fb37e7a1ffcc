// SPDX-License-Identifier: Apache-2.0
#include "engine/index_region.h"

#include <gtest/gtest.h>

#include "engine/base/prng.h"

namespace mica {
namespace {

using Kind = Owner::Kind;

TEST(IndexRegion, IsNobodysUntilSomethingIsAppended) {
  const IndexRegion region;
  EXPECT_EQ(region.Find(0).owner, Owner{});
  EXPECT_EQ(region.Find(0).end_block, kIndexRegionBlocks);
  EXPECT_EQ(region.Find(kIndexRegionBlocks - 1).owner, Owner{});
}

TEST(IndexRegion, MergesWhatContinues) {
  IndexRegion region;
  region.Append(0, 10, {Kind::kLayer, 3});
  region.Append(10, 20, {Kind::kLayer, 3});
  region.Append(20, 30, {Kind::kZero, 3});
  region.Append(30, 30, {Kind::kLayer, 9});
  region.Append(40, kIndexRegionBlocks, {Kind::kLayer, 255});
  EXPECT_EQ(region.entries().size(), 4U);
  EXPECT_EQ(region.Find(0).end_block, 20U);
  EXPECT_EQ(region.Find(19).owner, (Owner{Kind::kLayer, 3}));
  EXPECT_EQ(region.Find(29).owner, (Owner{Kind::kZero, 3}));
  EXPECT_EQ(region.Find(35).owner, Owner{});
  EXPECT_EQ(region.Find(35).end_block, 40U);
  EXPECT_EQ(region.Find(kIndexRegionBlocks - 1).owner, (Owner{Kind::kLayer, 255}));
}

TEST(IndexRegion, AgreesWithAnArrayOfOwners) {
  constexpr uint32_t kBlocks = 500;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(seed);
    Prng prng(seed);
    IndexRegion region;
    std::vector<Owner> expected(kBlocks);
    for (uint32_t at = 0; at < kBlocks;) {
      const uint32_t end = std::min<uint32_t>(kBlocks, at + static_cast<uint32_t>(prng.Below(9)));
      Owner owner{static_cast<Kind>(prng.Below(4)), 0};
      if (owner.kind == Kind::kLayer || owner.kind == Kind::kZero) {
        owner.layer = static_cast<uint32_t>(prng.Below(3));
      }
      if (prng.OneIn(2)) {
        region.Append(at, end, owner);
        std::fill(expected.begin() + at, expected.begin() + end, owner);
      }
      at = end;
    }
    for (uint32_t block = 0; block < kBlocks; ++block) {
      const IndexRegion::Found found = region.Find(block);
      ASSERT_EQ(found.owner, expected[block]) << block;
      ASSERT_GT(found.end_block, block);
      const uint32_t last = std::min(found.end_block, kBlocks) - 1;
      ASSERT_EQ(expected[last], expected[block]) << block;
    }
    const std::vector<uint32_t> entries(region.entries().begin(), region.entries().end());
    const Result<IndexRegion> again = IndexRegion::FromEntries(entries, 3);
    ASSERT_TRUE(again.has_value());
    EXPECT_EQ(again->Find(17).owner, expected[17]);
  }
}

TEST(IndexRegion, RefusesEntriesThatMakeNoSense) {
  const uint32_t block_one = 1U << 14;
  const std::vector<std::vector<uint32_t>> bad = {
      {},                                // nothing
      {block_one},                       // starts late
      {0, block_one, block_one},         // twice
      {0, 2 * block_one, block_one},     // backwards
      {1 + 2 * 3},                       // layer 3
      {0, block_one | (2 + 2 * 3)},      // zero of layer 3
      {0, block_one | ((1U << 14) - 2)}  // the last layer there could be
  };
  for (const std::vector<uint32_t>& entries : bad) {
    EXPECT_EQ(IndexRegion::FromEntries(entries, 3).error().code, Errc::kCorrupt);
  }
}

}  // namespace
}  // namespace mica
