// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/dpkg/md5.h"

#include <gtest/gtest.h>

namespace mica::rebase {
namespace {

std::string Sum(std::string_view text, size_t piece) {
  Md5 md5;
  for (size_t at = 0; at < text.size(); at += piece) md5.Add(AsBytes(text.substr(at, piece)));
  return std::move(md5).Finish();
}

// RFC 1321, A.5.
TEST(Md5, TestSuiteOfTheRfc) {
  EXPECT_EQ(Sum("", 1), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(Sum("a", 1), "0cc175b9c0f1b6a831c399e269772661");
  EXPECT_EQ(Sum("message digest", 3), "f96b697d7cb7938d525a2f31aaf161d0");
  const std::string digits =
      "12345678901234567890123456789012345678901234567890123456789012345678901234567890";
  for (const size_t piece : {1, 7, 63, 64, 65, 80}) {
    EXPECT_EQ(Sum(digits, piece), "57edf4a22be3c955ac49da2e2107b67a");
  }
}

}  // namespace
}  // namespace mica::rebase
