// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/output_text.h"

#include <gtest/gtest.h>

#include <array>

namespace mica {
namespace {

TEST(OutputTextTest, BytesAreExactOrThreeDigits) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(4096), "4 KiB");
  EXPECT_EQ(FormatBytes(1536), "1.50 KiB");
  EXPECT_EQ(FormatBytes((uint64_t{12} << 30) + (uint64_t{300} << 20)), "12.3 GiB");
  EXPECT_EQ(FormatBytes((uint64_t{200} << 20) + 1), "200 MiB");
  EXPECT_EQ(FormatBytes(UINT64_MAX), "16.0 EiB");
  EXPECT_EQ(FormatBytesExactly(uint64_t{10} << 30), "10 GiB (10737418240 bytes)");
}

TEST(OutputTextTest, Durations) {
  EXPECT_EQ(FormatDuration(std::chrono::seconds(7)), "0:07");
  EXPECT_EQ(FormatDuration(std::chrono::seconds(754)), "12:34");
  EXPECT_EQ(FormatDuration(std::chrono::hours(30)), "30:00:00");
}

TEST(OutputTextTest, Hexadecimal) {
  const std::array<uint8_t, 3> bytes{0, 0x1a, 0xff};
  EXPECT_EQ(FormatHex(bytes), "001aff");
}

}  // namespace
}  // namespace mica
