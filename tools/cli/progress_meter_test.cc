// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/progress_meter.h"

#include <gtest/gtest.h>

namespace mica {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint64_t kMiB = 1 << 20;

TEST(ProgressMeterTest, RateAndTimeLeft) {
  ProgressMeter meter("copy", {.bytes = 100 * kMiB}, seconds(5));
  EXPECT_EQ(meter.BytesPerSecond(), 0);
  EXPECT_EQ(meter.TimeLeft(), std::nullopt);
  meter.Sample(seconds(7), {.bytes = 20 * kMiB});
  EXPECT_DOUBLE_EQ(meter.BytesPerSecond(), 10.0 * kMiB);
  EXPECT_DOUBLE_EQ(*meter.Fraction(), 0.2);
  EXPECT_EQ(meter.TimeLeft(), seconds(8));
  EXPECT_EQ(meter.Line(), "copy: 20 MiB of 100 MiB (20.0 %), 10 MiB/s, 0:08 left");
}

TEST(ProgressMeterTest, OnlyTheLastSecondsCount) {
  ProgressMeter meter("copy", {.bytes = 1000 * kMiB}, seconds(0));
  uint64_t done = 0;
  for (int second = 1; second <= 20; ++second) {
    meter.Sample(seconds(second), {.bytes = done += kMiB});
  }
  for (int second = 21; second <= 30; ++second) {
    meter.Sample(seconds(second), {.bytes = done += 50 * kMiB});
  }
  EXPECT_DOUBLE_EQ(meter.BytesPerSecond(), 50.0 * kMiB);
}

TEST(ProgressMeterTest, OneSampleInALongTimeStillHasARate) {
  ProgressMeter meter("copy", {.bytes = 100 * kMiB}, seconds(0));
  meter.Sample(seconds(50), {.bytes = 50 * kMiB});
  EXPECT_DOUBLE_EQ(meter.BytesPerSecond(), 1.0 * kMiB);
  EXPECT_EQ(meter.TimeLeft(), seconds(50));
}

TEST(ProgressMeterTest, TwoSamplesAtOneMomentDoNotDivideByZero) {
  ProgressMeter meter("copy", {.bytes = kMiB}, seconds(1));
  meter.Sample(seconds(1), {.bytes = kMiB});
  EXPECT_EQ(meter.BytesPerSecond(), 0);
  EXPECT_EQ(meter.TimeLeft(), std::nullopt);
}

TEST(ProgressMeterTest, CountsFilesWhereBytesAreNotKnown) {
  ProgressMeter meter("rebase", {.files = 40}, seconds(0));
  meter.Sample(seconds(1), {.bytes = 512, .files = 10});
  EXPECT_DOUBLE_EQ(*meter.Fraction(), 0.25);
  EXPECT_EQ(meter.TimeLeft(), seconds(3));
  EXPECT_EQ(meter.Line(), "rebase: 512 B (25.0 %), 10 files, 512 B/s, 0:03 left");
}

TEST(ProgressMeterTest, WithoutAGoalThereIsNoFraction) {
  ProgressMeter meter("scan", {}, seconds(0));
  meter.Sample(milliseconds(500), {.bytes = kMiB});
  EXPECT_EQ(meter.Fraction(), std::nullopt);
  EXPECT_EQ(meter.Line(), "scan: 1 MiB, 2 MiB/s");
  EXPECT_EQ(meter.Bar(80), meter.Line());
}

TEST(ProgressMeterTest, MoreThanTheGoalIsAllOfIt) {
  ProgressMeter meter("copy", {.bytes = kMiB}, seconds(0));
  meter.Sample(seconds(1), {.bytes = 2 * kMiB});
  EXPECT_DOUBLE_EQ(*meter.Fraction(), 1.0);
  EXPECT_EQ(meter.TimeLeft(), seconds(0));
}

TEST(ProgressMeterTest, TheBarKeepsInsideItsColumns) {
  ProgressMeter meter("copy", {.bytes = 100 * kMiB}, seconds(0));
  meter.Sample(seconds(1), {.bytes = 50 * kMiB});
  for (const size_t columns : {0, 10, 40, 60, 79, 200}) {
    EXPECT_LE(meter.Bar(columns).size(), columns);
  }
  const std::string bar = meter.Bar(200);
  EXPECT_EQ(bar.substr(0, 42), "[" + std::string(20, '#') + std::string(20, '.') + "]");
}

}  // namespace
}  // namespace mica
