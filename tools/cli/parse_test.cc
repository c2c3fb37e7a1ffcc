// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/parse.h"

#include <gtest/gtest.h>

namespace mica {
namespace {

TEST(ParseSizeTest, TakesPowersOf1024) {
  EXPECT_EQ(*ParseSize("0"), 0u);
  EXPECT_EQ(*ParseSize("4096"), 4096u);
  EXPECT_EQ(*ParseSize("64K"), 64u << 10);
  EXPECT_EQ(*ParseSize("64k"), 64u << 10);
  EXPECT_EQ(*ParseSize("3M"), 3u << 20);
  EXPECT_EQ(*ParseSize("10G"), uint64_t{10} << 30);
  EXPECT_EQ(*ParseSize("2T"), uint64_t{2} << 40);
}

TEST(ParseSizeTest, TakesTheLargestAndRefusesOneMore) {
  EXPECT_EQ(*ParseSize("18446744073709551615"), UINT64_MAX);
  EXPECT_EQ(*ParseSize("16777215T"), uint64_t{16777215} << 40);
  for (const char* text : {"18446744073709551616", "16777216T", "18014398509481984K"}) {
    const Result<uint64_t> size = ParseSize(text);
    ASSERT_FALSE(size) << text;
    EXPECT_EQ(size.error().code, Errc::kInvalidArgument);
    EXPECT_NE(size.error().message.find("64 bits"), std::string::npos) << size.error().message;
  }
}

TEST(ParseSizeTest, RefusesEverythingElse) {
  for (const char* text : {"", "K", "-1", "+1", " 1", "1 ", "1.5G", "1KB", "1KiB", "0x10", "1P",
                           "1KK", "ten", "1e3"}) {
    const Result<uint64_t> size = ParseSize(text);
    ASSERT_FALSE(size) << text;
    EXPECT_EQ(size.error().code, Errc::kInvalidArgument);
    EXPECT_NE(size.error().message.find(std::string("'") + text + "'"), std::string::npos);
  }
}

TEST(ParseKeyValuesTest, CollectsPairsAndLetsTheLastWin) {
  std::map<std::string, std::string> options;
  ASSERT_TRUE(ParseKeyValues("slot=4K,label=a=b", options));
  ASSERT_TRUE(ParseKeyValues("slot=16K,empty=", options));
  const std::map<std::string, std::string> expected{
      {"slot", "16K"}, {"label", "a=b"}, {"empty", ""}};
  EXPECT_EQ(options, expected);
}

TEST(ParseKeyValuesTest, RefusesWhatIsNoPair) {
  for (const char* text : {"", "slot", "=4K", "slot=4K,", "slot=4K,,label=x"}) {
    std::map<std::string, std::string> options;
    const Result<void> parsed = ParseKeyValues(text, options);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, Errc::kInvalidArgument);
  }
}

TEST(ParseHostPortTest, TakesNamesAndAddresses) {
  EXPECT_EQ(ParseHostPort("example.org:10809")->host, "example.org");
  EXPECT_EQ(ParseHostPort("example.org:10809")->port, "10809");
  EXPECT_EQ(ParseHostPort(":nbd")->host, "");
  EXPECT_EQ(ParseHostPort(":nbd")->port, "nbd");
  EXPECT_EQ(ParseHostPort("[::1]:0")->host, "::1");
  EXPECT_EQ(ParseHostPort("[::1]:0")->port, "0");
}

TEST(ParseHostPortTest, RefusesWhatIsNone) {
  for (const char* text : {"", "10809", "host", "host:", "::1:10809", "[::1]", "[]:1", "a]:1"}) {
    const Result<HostPort> parsed = ParseHostPort(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, Errc::kInvalidArgument);
  }
}

}  // namespace
}  // namespace mica
