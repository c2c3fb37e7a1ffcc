// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/mergers/text.h"

#include <gtest/gtest.h>

#include <random>

#include "tools/rebase/mergers/line_diff.h"

namespace mica::rebase {
namespace {

MergeOutput Merge(std::string_view base, std::string_view ours, std::string_view theirs) {
  return MergeText({"/f", base, ours, theirs, {}});
}

struct Case {
  const char* base;
  const char* ours;
  const char* theirs;
  const char* merged;  // null: a conflict
};

class TextTable : public testing::TestWithParam<Case> {};

TEST_P(TextTable, Merges) {
  const Case& c = GetParam();
  const MergeOutput output = Merge(c.base, c.ours, c.theirs);
  if (c.merged == nullptr) {
    EXPECT_FALSE(output.merged.has_value()) << *output.merged;
    EXPECT_FALSE(output.conflicts.empty());
  } else {
    ASSERT_TRUE(output.merged.has_value());
    EXPECT_EQ(*output.merged, c.merged);
    EXPECT_TRUE(output.conflicts.empty());
  }
}

INSTANTIATE_TEST_SUITE_P(
    Texts, TextTable,
    testing::Values(Case{"a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n", "A\nb\nC\n"},
                    Case{"a\nb\nc\n", "x\na\nb\nc\n", "a\nb\nc\ny\n", "x\na\nb\nc\ny\n"},
                    Case{"a\nb\nc\n", "a\nc\n", "a\nb\nc\nd\n", "a\nc\nd\n"},
                    Case{"a\nb\nc\n", "a\nX\nc\n", "a\nY\nc\n", nullptr},
                    Case{"a\nb\nc\n", "a\nX\nc\n", "a\nX\nc\n", "a\nX\nc\n"},
                    Case{"a\n", "a\nx\n", "a\ny\n", nullptr}, Case{"", "x\n", "x\n", "x\n"},
                    Case{"", "x\n", "y\n", nullptr}, Case{"a\nb", "a\nb", "A\nb", "A\nb"},
                    Case{"a\nm\nb", "a\nm\nB", "A\nm\nb", "A\nm\nB"},
                    Case{"a\nm\nb\n", "a\nm\nb", "A\nm\nb\n", "A\nm\nb"},
                    Case{"a\n", "a", "a\nb\n", nullptr}, Case{"a\nb\n", "", "a\nb\n", ""},
                    Case{"a\nb\n", "", "a\nB\n", nullptr}));

TEST(Text, BinaryIsNotMerged) {
  EXPECT_FALSE(Merge("a\n", "b\n", std::string_view("\0\n", 2)).merged.has_value());
}

size_t LongestCommon(const std::vector<uint32_t>& a, const std::vector<uint32_t>& b) {
  std::vector<std::vector<size_t>> best(a.size() + 1, std::vector<size_t>(b.size() + 1, 0));
  for (size_t i = 0; i < a.size(); ++i) {
    for (size_t j = 0; j < b.size(); ++j) {
      best[i + 1][j + 1] = a[i] == b[j] ? best[i][j] + 1 : std::max(best[i][j + 1], best[i + 1][j]);
    }
  }
  return best[a.size()][b.size()];
}

TEST(MatchLines, IsALongestCommonSubsequence) {
  for (uint32_t seed = 1; seed <= 2000; ++seed) {
    std::mt19937 random(seed);
    auto make = [&] {
      std::vector<uint32_t> lines(random() % 14);
      for (uint32_t& line : lines) line = static_cast<uint32_t>(random() % 4);
      return lines;
    };
    const auto a = make();
    const auto b = make();
    const auto matches = MatchLines(a, b, 1 << 20);
    ASSERT_TRUE(matches.has_value()) << "seed " << seed;
    size_t count = 0;
    size_t next = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      const size_t j = (*matches)[i];
      if (j == kUnmatched) continue;
      ASSERT_GE(j, next) << "seed " << seed;
      ASSERT_EQ(a[i], b[j]) << "seed " << seed;
      next = j + 1;
      ++count;
    }
    ASSERT_EQ(count, LongestCommon(a, b)) << "seed " << seed;
  }
}

TEST(MatchLines, GivesUpWithinItsBudget) {
  std::vector<uint32_t> a(5000);
  std::vector<uint32_t> b(5000);
  for (uint32_t i = 0; i < 5000; ++i) {
    a[i] = i;
    b[i] = 10000 + i;
  }
  EXPECT_FALSE(MatchLines(a, b, 1000).has_value());
}

}  // namespace
}  // namespace mica::rebase
