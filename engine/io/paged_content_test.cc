// SPDX-License-Identifier: Apache-2.0
#include "engine/io/paged_content.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "engine/base/prng.h"

namespace mica {
namespace {

using Oracle = std::vector<std::byte>;

constexpr uint64_t kSizeMax = 600 * 1024;  // crosses two nodes

ByteRange RandomRange(Prng& prng) {
  const uint64_t offset = prng.Below(kSizeMax);
  const uint64_t length_max = prng.OneIn(4) ? kSizeMax - offset : 3 * 4096;
  return {offset, std::min(prng.Below(length_max + 1), kSizeMax - offset)};
}

void ZeroOracle(Oracle& oracle, ByteRange range) {
  const ByteRange inside = Intersect(range, {0, oracle.size()});
  FillZero(Bytes(oracle).subspan(std::min(inside.offset, uint64_t{oracle.size()}), inside.length));
}

void RandomStep(Prng& prng, PagedContent& content, Oracle& oracle) {
  const ByteRange range = RandomRange(prng);
  switch (prng.Below(6)) {
    case 0:
    case 1: {
      const std::vector<std::byte> data(range.length, std::byte(prng.Below(256)));
      if (range.end() > oracle.size() && !range.empty()) oracle.resize(range.end());
      std::ranges::copy(data, oracle.begin() + static_cast<std::ptrdiff_t>(std::min(
                                                   range.offset, uint64_t{oracle.size()})));
      if (!range.empty()) content.Write(range.offset, data);
      break;
    }
    case 2:
      content.Zero(range);
      ZeroOracle(oracle, range);
      break;
    case 3:
      content.Punch(range);
      ZeroOracle(oracle, range);
      break;
    case 4:
      content.Reserve(range);
      break;
    case 5:
      content.Resize(range.end());
      oracle.resize(range.end());
      break;
  }
}

Oracle Whole(const PagedContent& content) {
  Oracle whole(content.size());
  content.Read(0, whole);
  return whole;
}

TEST(PagedContent, AgreesWithAVectorAndCopiesAreIndependent) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Prng prng(seed);
    PagedContent content;
    Oracle oracle;
    for (int step = 0; step < 60; ++step) {
      PagedContent copy = content;
      Oracle copy_oracle = oracle;
      RandomStep(prng, content, oracle);
      ASSERT_EQ(Whole(content), oracle);
      ASSERT_EQ(Whole(copy), copy_oracle);
      RandomStep(prng, copy, copy_oracle);
      ASSERT_EQ(Whole(copy), copy_oracle);
      ASSERT_EQ(Whole(content), oracle);
    }
  }
}

TEST(PagedContent, CountsAllocation) {
  PagedContent content;
  const std::vector<std::byte> data(4096, std::byte{1});
  content.Write(1000, data);
  EXPECT_EQ(content.allocated_pages(), 2u);
  content.Reserve({0, 5 * 4096});
  EXPECT_EQ(content.allocated_pages(), 5u);
  content.Punch({100, 8192});
  EXPECT_EQ(content.allocated_pages(), 4u);
  content.Zero({0, 1 << 20});
  EXPECT_EQ(content.allocated_pages(), 256u);
  EXPECT_EQ(content.size(), 1000u + 4096u);
  content.Resize(1);
  EXPECT_EQ(content.allocated_pages(), 1u);
}

TEST(PagedContent, SaysWhatFits) {
  PagedContent content;
  content.Reserve({4096, 4096});
  EXPECT_EQ(content.PrefixThatFits({100, 20000}, 100), 20000u);
  EXPECT_EQ(content.PrefixThatFits({100, 20000}, 1), 8192u - 100u);
  EXPECT_EQ(content.PrefixThatFits({5000, 10}, 0), 10u);
  EXPECT_EQ(content.PrefixThatFits({100, 20000}, 0), 0u);
}

TEST(PagedContent, CrossesHugeHolesQuickly) {
  PagedContent content;
  content.Write(uint64_t{1} << 50, std::vector<std::byte>(1));
  content.Punch({0, (uint64_t{1} << 30)});
  content.Resize(0);
  EXPECT_EQ(content.allocated_pages(), 0u);
}

}  // namespace
}  // namespace mica
