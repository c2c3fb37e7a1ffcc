// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/text.h"

#include <gtest/gtest.h>

namespace mica::guest {
namespace {

TEST(DisplayText, KeepsPlainTextAndEscapesTheRest) {
  EXPECT_EQ(DisplayText("/gr\xc3\xbc\xc3\x9f\\e"), "/gr\xc3\xbc\xc3\x9f\\e");
  EXPECT_EQ(DisplayText("/a\nb\\c"), "/a\\x0ab\\\\c");
  EXPECT_EQ(DisplayText("/\x1b[2J"), "/\\x1b[2J");
  EXPECT_EQ(DisplayText("/\xc2\x9b"), "/\\xc2\\x9b");                  // a C1 control character
  EXPECT_EQ(DisplayText("/\xc0\xaf"), "/\\xc0\\xaf");                  // overlong
  EXPECT_EQ(DisplayText("/\xed\xa0\x80"), "/\\xed\\xa0\\x80");         // a surrogate
  EXPECT_EQ(DisplayText("/\xe2\x82"), "/\\xe2\\x82");                  // cut off
  EXPECT_EQ(DisplayText("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");  // beyond U+10FFFF
}

TEST(EscapeText, DoublesEveryBackslash) {
  EXPECT_EQ(EscapeText("a\\b"), "a\\\\b");
}

TEST(UnescapeText, GivesTheBytesBack) {
  for (const std::string_view name :
       {"/plain", "/a\nb\\c", "\xff\\x41\\", "/gr\xc3\xbc\xc3\x9f", "\\\\"}) {
    EXPECT_EQ(UnescapeText(EscapeText(name)), name);
  }
  EXPECT_EQ(UnescapeText("\\xg1\\x4"), "\\xg1\\x4");
}

}  // namespace
}  // namespace mica::guest
