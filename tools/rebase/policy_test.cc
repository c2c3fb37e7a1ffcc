// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/rebase/policies/builtin.h"
#include "tools/rebase/policy_parse.h"

namespace mica::rebase {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

Policy Stack(std::initializer_list<std::pair<const char*, const char*>> layers) {
  Policy policy;
  for (const auto& [name, text] : layers) {
    auto layer = ParsePolicy(name, text);
    EXPECT_TRUE(layer.has_value()) << layer.error().message;
    if (layer) policy.Push(*std::move(layer));
  }
  return policy;
}

TEST(Policy, DefaultsWithoutRules) {
  const Decision decision = Policy().Decide("/a", PathKind::kOther);
  EXPECT_EQ(decision.one(), OneSided::kNormal);
  EXPECT_EQ(decision.both(), BothChanged::kAuto);
  EXPECT_EQ(decision.delete_modify(), DeleteModify::kKeepModified);
  EXPECT_EQ(decision.type(), TypeChange::kFail);
  EXPECT_EQ(decision.meta(), MetaMerge::kMerge);
  EXPECT_EQ(decision.save(), SaveLoser::kRescue);
  EXPECT_FALSE(decision.severity().has_value());
  EXPECT_EQ(decision.Where(PolicyKey::kBoth), "");
}

TEST(Policy, LastMatchWinsKeyByKey) {
  const Policy policy = Stack({{"a", "/etc/** both=theirs sev=warn\n/etc/x both=merge:hosts\n"},
                               {"b", "# site\n\n/etc/** save=beside\n"}});
  const Decision decision = policy.Decide("/etc/x", PathKind::kOther);
  EXPECT_EQ(decision.both(), BothChanged::kMerge);
  EXPECT_EQ(decision.merger(), "hosts");
  EXPECT_EQ(decision.save(), SaveLoser::kBeside);
  EXPECT_EQ(decision.severity(), Severity::kWarn);
  EXPECT_EQ(decision.Where(PolicyKey::kBoth), "a:2: /etc/x");
  EXPECT_EQ(decision.Where(PolicyKey::kSave), "b:3: /etc/**");
}

TEST(Policy, CancelTakesBackWhatCameBefore) {
  const Policy policy =
      Stack({{"a", "/etc/** both=theirs\n"}, {"b", "!/etc/x\n/etc/x save=none\n"}});
  const Decision decision = policy.Decide("/etc/x", PathKind::kOther);
  EXPECT_EQ(decision.both(), BothChanged::kAuto);
  EXPECT_EQ(decision.save(), SaveLoser::kNone);
  EXPECT_EQ(policy.Decide("/etc/y", PathKind::kOther).both(), BothChanged::kTheirs);
  EXPECT_TRUE(policy.Decide("/etc/x", PathKind::kOther).matched());
  EXPECT_FALSE(policy.Decide("/srv/x", PathKind::kOther).matched());
}

TEST(Policy, SpeaksOfThePathsOfTheGuest) {
  const Policy policy = Stack({{"a", "/var/cache/** one=drop\n/home one=keep\n"}});
  const Policy var = policy.MountedAt("/var");
  EXPECT_EQ(var.Decide("/cache/x", PathKind::kOther).one(), OneSided::kDrop);
  EXPECT_EQ(var.Decide("/var/cache/x", PathKind::kOther).one(), OneSided::kNormal);
  EXPECT_EQ(policy.MountedAt("/home").Decide("/", PathKind::kDirectory).one(), OneSided::kKeep);
  EXPECT_EQ(policy.MountedAt("/").Decide("/var/cache/x", PathKind::kOther).one(), OneSided::kDrop);
}

TEST(Policy, PatternsWithBlanks) {
  const Policy policy = Stack({{"a", "\"/a b/*\" both=ours\n/c\\ d both=newer\n"}});
  EXPECT_EQ(policy.Decide("/a b/x", PathKind::kOther).both(), BothChanged::kOurs);
  EXPECT_EQ(policy.Decide("/c d", PathKind::kOther).both(), BothChanged::kNewer);
}

TEST(Policy, ExplainNamesTheDecidingRule) {
  const Policy policy = Stack({{"site", "/etc/** both=theirs\n/etc/hosts both=merge:hosts\n"}});
  EXPECT_EQ(policy.Explain("/etc/hosts", PathKind::kOther),
            "both=merge:hosts  site:2: /etc/hosts\n");
  EXPECT_THAT(policy.Explain("/x", PathKind::kOther), StartsWith("no rule matches"));
}

struct BadLine {
  const char* text;
  const char* message;
};

class PolicyErrors : public testing::TestWithParam<BadLine> {};

TEST_P(PolicyErrors, NameFileLineExpectedAndFound) {
  const std::string text = std::string("# one\n") + GetParam().text + "\n";
  const auto layer = ParsePolicy("pool.policy", text);
  ASSERT_FALSE(layer.has_value());
  EXPECT_EQ(layer.error().code, Errc::kInvalidArgument);
  EXPECT_THAT(layer.error().message, StartsWith("pool.policy:2: expected "));
  EXPECT_THAT(layer.error().message, HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    Lines, PolicyErrors,
    testing::Values(BadLine{"/a", "found nothing"}, BadLine{"a both=ours", "found \"a\""},
                    BadLine{"/a both=mine", "auto|ours|theirs"},
                    BadLine{"/a colour=red", "one|both|delmod|type|meta|save|sev"},
                    BadLine{"/a both", "KEY=VALUE"}, BadLine{"/a both=merge:xml", "found \"xml\""},
                    BadLine{"/a both=merge", "merge:NAME"}, BadLine{"/a[ both=ours", "\"]\""},
                    BadLine{"!/a both=ours", "nothing after"}, BadLine{"!", "pattern"},
                    BadLine{"\"/a both=ours", "closing quote"},
                    BadLine{"/a both=ours both=theirs", "a second time"},
                    BadLine{"/a sev=fatal", "info|notice|warn|error|block"}));

TEST(BuiltinPolicy, Parses) {
  const auto layer = ParsePolicy("linux.policy", kLinuxPolicyText);
  ASSERT_TRUE(layer.has_value()) << layer.error().message;
  EXPECT_GT(layer->rules.size(), 60u);
  EXPECT_EQ(BuiltinLinuxPolicy().rules.size(), layer->rules.size());
}

TEST(BuiltinPolicy, KnowsTheUsualPaths) {
  Policy policy;
  policy.Push(BuiltinLinuxPolicy());
  auto decide = [&](const char* path) { return policy.Decide(path, PathKind::kOther); };
  EXPECT_EQ(decide("/etc/passwd").merger(), "passwd");
  EXPECT_EQ(decide("/etc/subgid").merger(), "subid");
  EXPECT_EQ(decide("/usr/bin/ls").both(), BothChanged::kUnit);
  EXPECT_EQ(decide("/usr/local/bin/x").both(), BothChanged::kOurs);
  EXPECT_EQ(decide("/var/cache/apt/pkgcache.bin").one(), OneSided::kDrop);
  EXPECT_EQ(policy.Decide("/var/cache/apt", PathKind::kDirectory).one(), OneSided::kNormal);
  EXPECT_EQ(decide("/var/cache/debconf/config.dat").merger(), "debconf");
  EXPECT_EQ(decide("/var/cache/debconf/config.dat").one(), OneSided::kNormal);
  EXPECT_EQ(decide("/etc/machine-id").one(), OneSided::kKeep);
  EXPECT_EQ(decide("/etc/ssh/sshd_config").both(), BothChanged::kAuto);
  EXPECT_EQ(decide("/var/lib/dpkg/status").merger(), "packages");
}

}  // namespace
}  // namespace mica::rebase
