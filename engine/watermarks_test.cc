// SPDX-License-Identifier: Apache-2.0
#include "engine/watermarks.h"

#include <gtest/gtest.h>

namespace mica {
namespace {

TEST(Watermarks, TellEachMarkOnceOnTheWayUp) {
  Watermarks marks;
  EXPECT_EQ(marks.Update(0, 10'000), std::nullopt);
  EXPECT_EQ(marks.Update(7999, 10'000), std::nullopt);
  EXPECT_EQ(marks.Update(8000, 10'000), 80u);
  EXPECT_EQ(marks.Update(8500, 10'000), std::nullopt);
  EXPECT_EQ(marks.Update(9600, 10'000), 95u);
  EXPECT_EQ(marks.Update(20'000, 10'000), std::nullopt);
}

TEST(Watermarks, AreArmedAgainWellBelow) {
  Watermarks marks;
  EXPECT_EQ(marks.Update(9000, 10'000), 90u);
  EXPECT_EQ(marks.Update(8900, 10'000), std::nullopt);
  EXPECT_EQ(marks.Update(9000, 10'000), std::nullopt);
  EXPECT_EQ(marks.Update(8700, 10'000), std::nullopt);
  EXPECT_EQ(marks.Update(9000, 10'000), 90u);
  EXPECT_EQ(marks.Update(9000, 0), std::nullopt) << "without a limit";
  EXPECT_EQ(marks.Update(UINT64_MAX, UINT64_MAX), 95u);
}

}  // namespace
}  // namespace mica
