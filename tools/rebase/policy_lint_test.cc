// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/policy_lint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/rebase/policies/builtin.h"
#include "tools/rebase/policy_parse.h"

namespace mica::rebase {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// "LINE LEVEL KIND" of each finding.
std::vector<std::string> Lint(const std::string& text, std::span<const PolicyLayer> below = {}) {
  const PolicyText files[] = {{"site", text}};
  std::vector<std::string> words;
  for (const LintFinding& finding : LintPolicies(below, files)) {
    EXPECT_EQ(finding.file, "site");
    EXPECT_FALSE(finding.message.empty());
    EXPECT_FALSE(finding.help.empty());
    words.push_back(std::to_string(finding.line) + " " + std::string(LintLevelName(finding.level)) +
                    " " + std::string(finding.kind));
  }
  return words;
}

LintFinding Only(const std::string& text) {
  const PolicyText files[] = {{"site", text}};
  const std::vector<LintFinding> findings = LintPolicies({}, files);
  EXPECT_EQ(findings.size(), 1u);
  return findings.empty() ? LintFinding() : findings.front();
}

TEST(PolicyLint, TheBuiltinPolicyIsClean) {
  const PolicyText files[] = {{"linux.policy", std::string(kLinuxPolicyText)}};
  std::vector<std::string> found;
  for (const LintFinding& finding : LintPolicies({}, files)) {
    found.push_back(std::to_string(finding.line) + ": " + finding.message);
  }
  EXPECT_THAT(found, IsEmpty());
}

TEST(PolicyLint, TellsAllLinesThatCannotBeRead) {
  EXPECT_THAT(
      Lint("/a both=mine\n/b both=ours\n/c colour=red\nd both=ours\n/e both=ours both=newer\n"),
      ElementsAre("1 error syntax", "3 error syntax", "4 error syntax", "5 error syntax"));
  EXPECT_THAT(Only("/a both=mine\n").message, HasSubstr("auto|ours|theirs"));
}

TEST(PolicyLint, PatternsThatNoPathMatches) {
  EXPECT_THAT(Lint("/a//b both=ours\n/c/../d both=ours\n//e both=ours\n/f both=ours\n"),
              ElementsAre("1 warning no-path", "2 warning no-path", "3 warning no-path"));
}

TEST(PolicyLint, RulesThatALaterOneCovers) {
  EXPECT_THAT(Lint("/etc/x/** both=theirs\n/etc/** both=ours sev=warn\n"),
              ElementsAre("1 warning shadowed"));
  EXPECT_THAT(Lint("/etc/x both=theirs save=none\n/etc/** both=ours\n"),
              ElementsAre("1 notice shadowed"));  // save= still decides
  EXPECT_THAT(Lint("/etc/x both=theirs save=none\n/etc/** both=ours\n/** save=beside\n"),
              ElementsAre("1 warning shadowed"));
  EXPECT_THAT(Lint("/etc/** both=ours\n/etc/x both=theirs\n"), IsEmpty());
  EXPECT_THAT(Lint("/etc/x both=theirs\n/etc/x/ one=drop\n"), IsEmpty());
  EXPECT_THAT(Lint("/etc/x both=theirs\n!/etc/**\n"), ElementsAre("1 warning shadowed"));
  EXPECT_EQ(Only("/etc/x/** both=theirs\n/etc/** both=ours\n").other, "site:2");
}

TEST(PolicyLint, RulesThatAreThereTwice) {
  EXPECT_THAT(Lint("/a both=ours\n/b both=ours\n/a both=ours\n"),
              ElementsAre("1 warning duplicate"));
  EXPECT_THAT(Lint("/a/** both=ours\n/a/b both=ours\n"), ElementsAre("2 notice repeats"));
  EXPECT_THAT(Lint("/a/** both=ours\n/a/*.x both=theirs\n/a/b* both=ours\n"), IsEmpty());
  EXPECT_THAT(Lint("/a both=merge:hosts\n/** sev=warn\n"), IsEmpty());
}

TEST(PolicyLint, KeysThatContradictEachOther) {
  EXPECT_THAT(Lint("/a one=drop both=theirs\n/b both=keep-both save=none\n/c both=fail sev=info\n"
                   "/d/ both=ours\n/e delmod=fail sev=error\n/f both=fail\n"),
              ElementsAre("1 warning contradiction", "2 warning contradiction",
                          "3 warning contradiction", "4 warning no-use"));
}

TEST(PolicyLint, CancelsThatTakeNothingBack) {
  EXPECT_THAT(Lint("!/etc/x\n/etc/** both=ours\n!/etc/y\n"),
              ElementsAre("1 warning takes-nothing-back"));
}

TEST(PolicyLint, FilesAreJudgedAsAStack) {
  const auto below = ParsePolicy("below", "/etc/** both=ours\n");
  ASSERT_TRUE(below.has_value());
  const PolicyLayer layers[] = {*below};
  EXPECT_THAT(Lint("!/etc/x\n", layers), IsEmpty());
  EXPECT_THAT(Lint("/etc/x both=ours\n", layers), ElementsAre("1 notice repeats"));
  const PolicyText files[] = {{"site", "/srv/x both=theirs\n"}, {"vm", "/srv/** both=ours\n"}};
  const std::vector<LintFinding> findings = LintPolicies(layers, files);
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].file, "site");
  EXPECT_EQ(findings[0].level, LintLevel::kNotice);  // another file may have another say
  EXPECT_EQ(findings[0].other, "vm:1");
}

}  // namespace
}  // namespace mica::rebase
