// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/fit/fit_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mica::rebase {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A volume that has one text as every file.
class OneText final : public guest::Volume {
 public:
  explicit OneText(std::string text) : text_(std::move(text)) {}
  [[nodiscard]] uint64_t root() const noexcept override { return 2; }
  Result<guest::Object> Stat(uint64_t inode) override {
    guest::Object object;
    object.id.inode = inode;
    object.size = text_.size();
    return object;
  }
  Result<std::optional<uint64_t>> LookupIn(uint64_t, std::string_view) override { return 12; }
  Result<std::vector<guest::DirectoryEntry>> List(uint64_t) override {
    return std::vector<guest::DirectoryEntry>();
  }
  Result<size_t> Read(uint64_t, uint64_t offset, Bytes buffer) override {
    const std::string_view rest = std::string_view(text_).substr(std::min(offset, text_.size()));
    const size_t count = std::min(rest.size(), buffer.size());
    std::ranges::copy(AsBytes(rest.substr(0, count)), buffer.begin());
    return count;
  }
  Result<std::vector<ByteRange>> StoredRanges(uint64_t) override {
    return std::vector<ByteRange>();
  }

 private:
  std::string text_;
};

guest::ChangedObject Added(const std::string& path, uint32_t mode = 0644) {
  guest::ChangedObject change;
  change.after = guest::Object();
  change.after->id.inode = 12;
  change.after->attributes.mode = mode;
  change.names_after = {{2, path.substr(path.rfind('/') + 1), path, 0}};
  return change;
}

guest::ChangedObject Changed(const std::string& path) {
  guest::ChangedObject change = Added(path);
  change.before = change.after;
  change.names_before = change.names_after;
  change.content_changed = true;
  return change;
}

guest::ChangedObject Deleted(const std::string& path) {
  guest::ChangedObject change = Changed(path);
  change.after.reset();
  change.names_after.clear();
  return change;
}

std::vector<std::string> Findings(const std::vector<FitRule>& rules,
                                  std::vector<guest::ChangedObject> changes,
                                  const std::string& text = "") {
  OneText volume(text);
  const auto found = FindFits(rules, guest::ChangeSet{std::move(changes)}, volume);
  EXPECT_TRUE(found);
  std::vector<std::string> texts;
  for (const FitFinding& finding : *found) {
    texts.push_back(finding.rule->name + " " + finding.path + " " + finding.value);
  }
  return texts;
}

std::vector<FitRule> Rules(const std::string& text) {
  auto rules = ParseFitRules("test.json", text);
  EXPECT_TRUE(rules) << (rules ? "" : rules.error().message);
  return rules ? std::move(*rules) : std::vector<FitRule>();
}

std::string Refused(const std::string& text) {
  const auto rules = ParseFitRules("test.json", text);
  EXPECT_FALSE(rules);
  return rules ? "" : rules.error().message;
}

TEST(FitRules, TellWhatTheOwnerDid) {
  const auto rules = Rules(R"([
    {"RuleName": "a", "Severity": "Low", "RulePath": ["/etc/**", "!/etc/no/**"]},
    {"RuleName": "b", "Severity": "High", "RulePath": "/**", "RuleValue": "setuid"},
    {"RuleName": "c", "Severity": "Medium", "RulePath": "/usr/**", "RuleValue": "changed"},
    {"RuleName": "d", "Severity": "Medium", "RulePath": "/usr/**", "RuleValue": "deleted"}])");
  EXPECT_THAT(Findings(rules, {Added("/etc/x"), Added("/etc/no/y"), Added("/usr/s", 04755),
                               Changed("/usr/lib/z.so"), Deleted("/usr/gone")}),
              ElementsAre("a /etc/x added", "b /usr/s mode 4755 of user 0",
                          "c /usr/lib/z.so changed", "d /usr/gone deleted"));
}

TEST(FitRules, ReadValues) {
  const auto rules = Rules(R"([{"RuleName": "v", "Severity": "Low", "RuleType": "Value",
    "RulePath": "/etc/conf", "RuleValue": "MODE", "AllowedValues": ["on", "auto"]}])");
  const auto found = [&](const std::string& text) {
    return Findings(rules, {Changed("/etc/conf")}, text);
  };
  EXPECT_THAT(found("# MODE=off\nMODE = \"off\"  # why\n"), ElementsAre("v /etc/conf MODE=off"));
  EXPECT_THAT(found("MODE off"), ElementsAre("v /etc/conf MODE=off"));
  EXPECT_THAT(found("MODE=off\nMODE=on\n"), ElementsAre());
  EXPECT_THAT(found("MODELESS=off\n"), ElementsAre());
  EXPECT_THAT(found(""), ElementsAre());
}

TEST(FitRules, RefuseWithTheRulesName) {
  EXPECT_THAT(Refused("{}"), HasSubstr("test.json: expected a JSON list"));
  EXPECT_THAT(Refused(R"([{"RuleName": "x", "Severity": "Bad", "RulePath": "/"}])"),
              HasSubstr("rule 'x': expected Severity Low, Medium or High, found 'Bad'"));
  EXPECT_THAT(Refused(R"([{"RuleName": "x", "Severity": "Low"}])"), HasSubstr("a RulePath"));
  EXPECT_THAT(Refused(R"([{"RuleName": "x", "Severity": "Low", "RulePath": "etc"}])"),
              HasSubstr("begin with /"));
  EXPECT_THAT(Refused(R"([{"RuleName": "x", "Severity": "Low", "RulePath": "/", "Typo": 1}])"),
              HasSubstr("found 'Typo'"));
  EXPECT_THAT(Refused(R"([3])"), HasSubstr("expected a rule"));
}

TEST(FitRules, BuiltinsKnowTheUsualSuspects) {
  const auto& rules = BuiltinLinuxFitRules();
  EXPECT_GE(rules.size(), 15U);
  for (const FitRule& rule : rules) EXPECT_NE(rule.comment, "") << rule.name;
  EXPECT_THAT(Findings(rules, {Added("/usr/lib/modules/6.1/extra/x.ko")}),
              ElementsAre("Kernel modules /usr/lib/modules/6.1/extra/x.ko added"));
  EXPECT_THAT(Findings(rules, {Changed("/etc/pam.d/sshd")}),
              ElementsAre("PAM /etc/pam.d/sshd changed"));
  EXPECT_THAT(Findings(rules, {Changed("/usr/lib/x86_64-linux-gnu/libssl.so.3")}),
              ElementsAre("Replaced libraries /usr/lib/x86_64-linux-gnu/libssl.so.3 changed"));
  EXPECT_THAT(Findings(rules, {Added("/home/user/notes"), Changed("/etc/hosts")}), ElementsAre());
}

}  // namespace
}  // namespace mica::rebase
