// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/glob_compare.h"

#include <gtest/gtest.h>

#include <random>

namespace mica::rebase {
namespace {

Glob Parsed(std::string_view pattern) {
  auto glob = Glob::Parse(pattern);
  EXPECT_TRUE(glob.has_value()) << pattern;
  return glob.value_or(Glob());
}

TEST(MatchesNothing, KnowsWhatNoPathIs) {
  for (const char* const pattern :
       {"//a", "/a//b", "/a/./b", "/a/../b", "/a/.", "/[/]", "a", "/a//"}) {
    EXPECT_TRUE(MatchesNothing(Parsed(pattern))) << pattern;
  }
  for (const char* const pattern :
       {"/", "/a", "/a/", "**", "/**", "/...", "/.a/..b", "/**/.*", "/a\\*"}) {
    EXPECT_FALSE(MatchesNothing(Parsed(pattern))) << pattern;
  }
}

TEST(Covers, IsExact) {
  const std::pair<const char*, const char*> covered[] = {
      {"/etc/**", "/etc/a*/b"}, {"/etc/**", "/etc/**"}, {"/etc/*", "/etc/?*"},
      {"/etc/?*", "/etc/*"},    {"**", "/a/[a-z]"},     {"/**/x", "/x"},
      {"/**/x", "/a/**/x"},     {"/[a-c]", "/[ab]"},    {"/a/**", "/a/**/"},
      {"/a/**/", "/a/b/"},      {"/a**c", "/ab/**/bc"}, {"/**/*.pyc", "/usr/**/__pycache__/*.pyc"}};
  for (const auto& [wide, narrow] : covered) {
    EXPECT_TRUE(Covers(Parsed(wide), Parsed(narrow))) << wide << " over " << narrow;
  }
  const std::pair<const char*, const char*> not_covered[] = {
      {"/etc/*", "/etc/**"}, {"/etc/**", "/etc"},  {"/a/**/", "/a/**"},    {"/[ab]", "/[a-c]"},
      {"/a*", "/*a"},        {"/**/x/**", "/a/x"}, {"/etc/a", "/etc/[ab]"}};
  for (const auto& [wide, narrow] : not_covered) {
    EXPECT_FALSE(Covers(Parsed(wide), Parsed(narrow))) << wide << " over " << narrow;
  }
}

TEST(Overlap, IsExact) {
  EXPECT_TRUE(Overlap(Parsed("/a*"), Parsed("/*b")));
  EXPECT_TRUE(Overlap(Parsed("/**/x"), Parsed("/usr/*")));
  EXPECT_TRUE(Overlap(Parsed("/a/"), Parsed("/a")));
  EXPECT_FALSE(Overlap(Parsed("/a*"), Parsed("/b*")));
  EXPECT_FALSE(Overlap(Parsed("/*/x"), Parsed("/**/y")));
  EXPECT_FALSE(Overlap(Parsed("/a/*"), Parsed("/a/*/b")));
}

// What patterns match is the judge.
TEST(Compare, AgreesWithMatchingOnRandomPatterns) {
  constexpr uint32_t kSeed = 7;
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  std::mt19937 random(kSeed);
  const auto text = [&random](std::initializer_list<const char*> parts) {
    std::string made = "/";
    for (size_t left = 1 + random() % 4; left > 0; --left)
      made += parts.begin()[random() % parts.size()];
    return made;
  };
  std::vector<std::string> paths;
  for (int i = 0; i < 300; ++i) {
    std::string path = text({"a", "b", "/a", "/b", "ab"});
    if (path.find("//") == std::string::npos) paths.push_back(std::move(path));
  }
  for (int i = 0; i < 400; ++i) {
    const std::string first = text({"a", "*", "**", "/", "/**/", "?", "[ab]"});
    const std::string second = text({"b", "*", "**", "/a", "/**/", "?", "[!a]"});
    const Glob a = Parsed(first);
    const Glob b = Parsed(second);
    for (const std::string& path : paths) {
      const bool in_a = a.Matches(path, PathKind::kDirectory);
      const bool in_b = b.Matches(path, PathKind::kDirectory);
      if (in_a) {
        EXPECT_FALSE(MatchesNothing(a)) << first << " " << path;
      }
      if (in_a && in_b) {
        EXPECT_TRUE(Overlap(a, b)) << first << " " << second << " " << path;
      }
      if (in_b && !in_a) {
        EXPECT_FALSE(Covers(a, b)) << first << " " << second << " " << path;
      }
    }
  }
}

}  // namespace
}  // namespace mica::rebase
