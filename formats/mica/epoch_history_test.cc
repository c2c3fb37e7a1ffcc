// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/epoch_history.h"

#include <gtest/gtest.h>

namespace mica::native {
namespace {

EpochHistory Reread(const EpochHistory& history) {
  std::vector<std::byte> bytes(EpochHistory::kEncodedBytes);
  history.Encode(bytes);
  return EpochHistory::Decode(bytes, UINT32_MAX).value();
}

TEST(EpochHistory, TheSmallestSizeSinceAnEpoch) {
  EpochHistory history;
  history.AddResize(5, 100);  // 100 until 5, then 40
  history.AddResize(8, 40);   // then 70
  EXPECT_EQ(Reread(history), history);
  EXPECT_EQ(history.SmallestSizeSince(0, 70), 40u);
  EXPECT_EQ(history.SmallestSizeSince(4, 70), 40u);
  EXPECT_EQ(history.SmallestSizeSince(7, 70), 40u);
  EXPECT_EQ(history.SmallestSizeSince(8, 70), 70u);
}

TEST(EpochHistory, GoingBackMakesEpochsUnknownUntilOneGoesBackToThem) {
  EpochHistory at_5;
  at_5.AddResize(4, 100);
  EpochHistory at_8 = at_5;
  at_8.AddResize(7, 50);
  EpochHistory history = at_5;
  history.AddRevert(5, 10);
  EXPECT_EQ(Reread(history), history);
  EXPECT_FALSE(history.IsLost(5));
  EXPECT_TRUE(history.IsLost(6));
  EXPECT_TRUE(history.IsLost(10));
  EXPECT_FALSE(history.IsLost(11));
  // To a snapshot of the time that was undone: what led to it is known again.
  history = at_8;
  history.AddRevert(8, 15);
  EXPECT_FALSE(history.IsLost(6));
  EXPECT_FALSE(history.IsLost(8));
  EXPECT_TRUE(history.IsLost(9));
  EXPECT_TRUE(history.IsLost(15));
  EXPECT_FALSE(history.IsLost(16));
}

TEST(EpochHistory, FullListsAnswerRatherTooCarefully) {
  EpochHistory history;
  for (uint32_t i = 1; i <= 40; ++i) history.AddResize(i * 10, 1000 + i);
  EXPECT_EQ(history.sizes().size(), EpochHistory::kSizesMax);
  EXPECT_EQ(Reread(history), history);
  EXPECT_EQ(history.SmallestSizeSince(395, 5000), 1040u);
  EXPECT_EQ(history.SmallestSizeSince(15, 5000), 1001u);  // too small by one, never too large

  EpochHistory lost;
  for (uint32_t i = 1; i <= 40; ++i) lost.AddRevert(i * 10 + 1, i * 10 + 5);
  EXPECT_EQ(lost.lost().size(), EpochHistory::kLostMax);
  EXPECT_EQ(Reread(lost), lost);
  for (uint32_t i = 1; i <= 40; ++i) EXPECT_TRUE(lost.IsLost(i * 10 + 2)) << i;
  EXPECT_FALSE(lost.IsLost(401));
  EXPECT_FALSE(lost.IsLost(406));
}

TEST(EpochHistory, DamageIsRefused) {
  EpochHistory history;
  history.AddResize(5, 100);
  history.AddRevert(6, 7);
  std::vector<std::byte> bytes(EpochHistory::kEncodedBytes);
  history.Encode(bytes);
  EXPECT_TRUE(EpochHistory::Decode(bytes, 8).has_value());
  EXPECT_FALSE(EpochHistory::Decode(bytes, 7).has_value());
  StoreLe<uint32_t>(bytes, 16, 5);  // a second size of the same epoch
  EXPECT_FALSE(EpochHistory::Decode(bytes, 8).has_value());
  StoreLe<uint32_t>(bytes, 16, 0);
  StoreLe<uint32_t>(bytes, 256, 7);  // an empty interval
  EXPECT_FALSE(EpochHistory::Decode(bytes, 8).has_value());
}

}  // namespace
}  // namespace mica::native
