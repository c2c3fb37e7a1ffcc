// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/glob.h"

#include <gtest/gtest.h>

#include <random>

namespace mica::rebase {
namespace {

struct Case {
  const char* pattern;
  const char* path;
  bool matches;
  PathKind kind = PathKind::kOther;
};

class GlobTable : public testing::TestWithParam<Case> {};

TEST_P(GlobTable, Matches) {
  const Case& c = GetParam();
  const auto glob = Glob::Parse(c.pattern);
  ASSERT_TRUE(glob.has_value());
  EXPECT_EQ(glob->Matches(c.path, c.kind), c.matches) << c.pattern << " on " << c.path;
}

INSTANTIATE_TEST_SUITE_P(
    Patterns, GlobTable,
    testing::Values(
        Case{"/etc/passwd", "/etc/passwd", true}, Case{"/etc/passwd", "/etc/passwd-", false},
        Case{"/etc/passwd", "/etc/passw", false}, Case{"/etc/*", "/etc/a", true},
        Case{"/etc/*", "/etc/a/b", false}, Case{"/etc/*", "/etc/", true},
        Case{"/etc/**", "/etc/a/b", true}, Case{"/etc/**", "/etc", false},
        Case{"**/*.pyc", "/usr/x/a.pyc", true}, Case{"**/*.pyc", "/a.pyc", true},
        Case{"**/*.pyc", "/usr/x/a.py", false}, Case{"/usr/**/share", "/usr/share", true},
        Case{"/usr/**/share", "/usr/a/b/share", true}, Case{"/usr/**/share", "/usr/ashare", false},
        Case{"/usr/**/**/share", "/usr/share", true}, Case{"/a?c", "/abc", true},
        Case{"/a?c", "/a/c", false}, Case{"/sub[ug]id", "/subuid", true},
        Case{"/sub[ug]id", "/subxid", false}, Case{"/[a-c]", "/b", true},
        Case{"/[!a-c]", "/b", false}, Case{"/[!a-c]", "/d", true}, Case{"/[!a]b", "//b", false},
        Case{"/[]x]", "/]", true}, Case{"/a\\*", "/a*", true}, Case{"/a\\*", "/ab", false},
        Case{"/c/**/", "/c/d", false}, Case{"/c/**/", "/c/d", true, PathKind::kDirectory},
        Case{"/c/**/", "/c/d/e", true, PathKind::kDirectory}, Case{"/x*y*z", "/xAyByz", true},
        Case{"/**", "/\xff\x01", true}));

TEST(Glob, LongPathsCostLittle) {
  const auto glob = Glob::Parse("/**a**a**a**a**a**a**a**a**b");
  ASSERT_TRUE(glob.has_value());
  EXPECT_FALSE(glob->Matches("/" + std::string(4096, 'a'), PathKind::kOther));
}

// Matches looks at the literal ends of a pattern first; the automaton does not.
TEST(Glob, SaysWhatItsAutomatonSays) {
  constexpr uint32_t kSeed = 1;
  std::mt19937 random(kSeed);
  const std::vector<std::string> parts = {"/", "a", "b", "ab", "*", "**", "/**/", "?", "[ab]"};
  const auto make = [&](size_t choices) {
    std::string text = "/";
    for (size_t i = random() % 6; i > 0; --i) text += parts[random() % choices];
    return text;
  };
  size_t matches = 0;
  for (size_t round = 0; round < 50'000; ++round) {
    const std::string pattern = make(parts.size());
    const std::string path = make(4);
    const auto glob = Glob::Parse(pattern);
    ASSERT_TRUE(glob.has_value());
    Glob::States at = glob->Begin();
    for (const char byte : path) at = glob->After(at, byte);
    const bool expected = Glob::IsMatch(at);
    EXPECT_EQ(glob->Matches(path, PathKind::kDirectory), expected) << pattern << " on " << path;
    matches += expected ? 1 : 0;
  }
  EXPECT_GT(matches, 1000u);
}

TEST(Glob, RefusesUnfinishedPatterns) {
  EXPECT_EQ(Glob::Parse("/a[bc").error().code, Errc::kInvalidArgument);
  EXPECT_EQ(Glob::Parse("/a\\").error().code, Errc::kInvalidArgument);
}

}  // namespace
}  // namespace mica::rebase
