// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "tools/rebase/report_format.h"

namespace mica::rebase {
namespace {

using testing::HasSubstr;
using testing::Not;

Report Example() {
  Report report;
  ReportEntry carried;
  carried.path = "/etc/motd";
  carried.ours.content = true;
  report.Add(carried);
  ReportEntry conflict;
  conflict.path = "/home/a\xff\\b";
  conflict.other_paths = {"/home/c"};
  conflict.ours.content = conflict.theirs.content = true;
  conflict.action = Action::kOurs;
  conflict.severity = Severity::kWarn;
  conflict.rule = "site:3: /home/**";
  conflict.rescue = 0;
  conflict.volume = "2";
  conflict.unclassified = true;
  conflict.our_facts = VersionFacts{5, {17, 3}, 0xabc};
  report.Add(conflict);
  ReportEntry broken;
  broken.topic = Topic::kDependency;
  broken.path = broken.package = "curl";
  broken.action = Action::kBroken;
  broken.severity = Severity::kError;
  broken.detail = "not satisfied: Depends: libcurl4 (>= 8)";
  report.Add(broken);
  return report;
}

TEST(Report, VerdictAndFit) {
  Report report;
  EXPECT_EQ(report.GetVerdict(), Verdict::kClean);
  EXPECT_EQ(report.GetFitLevel(), FitLevel::kNone);
  ReportEntry entry;
  const std::pair<Severity, std::pair<Verdict, FitLevel>> steps[] = {
      {Severity::kNotice, {Verdict::kClean, FitLevel::kNone}},
      {Severity::kWarn, {Verdict::kConflicts, FitLevel::kLow}},
      {Severity::kError, {Verdict::kConflicts, FitLevel::kMedium}},
      {Severity::kBlock, {Verdict::kBlocked, FitLevel::kHigh}}};
  for (const auto& [severity, expected] : steps) {
    entry.severity = severity;
    report.Add(entry);
    EXPECT_EQ(report.GetVerdict(), expected.first);
    EXPECT_EQ(report.GetFitLevel(), expected.second);
  }
}

TEST(Report, JsonLines) {
  const SavedVersion saved[] = {{"/rescue/1", Side::kTheirs, 12, "00ff"}};
  ReportContext context;
  context.facts = {{"policy", "linux.policy"}};
  context.rescued = saved;
  std::istringstream lines(FormatReportJson(Example(), context));
  std::vector<nlohmann::json> objects;
  for (std::string line; std::getline(lines, line);) objects.push_back(nlohmann::json::parse(line));
  ASSERT_EQ(objects.size(), 4u);
  EXPECT_EQ(objects[0]["path"], "/etc/motd");
  EXPECT_EQ(objects[0]["ours"], nlohmann::json({"content"}));
  EXPECT_FALSE(objects[0].contains("path_escaped"));
  EXPECT_EQ(objects[1]["path"], "/home/a\\xff\\\\b");
  EXPECT_EQ(objects[1]["path_escaped"], true);
  EXPECT_EQ(objects[1]["saved"], "/rescue/1");
  EXPECT_EQ(objects[1]["saved_version"],
            nlohmann::json({{"side", "theirs"}, {"size", 12}, {"digest", "00ff"}}));
  EXPECT_EQ(objects[1]["volume"], "2");
  EXPECT_EQ(objects[1]["unclassified"], true);
  EXPECT_FALSE(objects[0].contains("volume"));
  EXPECT_EQ(objects[1]["our"]["xxh3"], "0000000000000abc");
  EXPECT_EQ(objects[1]["our"]["modified"], "17.000000003");
  EXPECT_EQ(objects[2]["topic"], "dependency");
  EXPECT_FALSE(objects[2].contains("kind"));
  const nlohmann::json& summary = objects[3]["summary"];
  EXPECT_EQ(summary["verdict"], "conflicts");
  EXPECT_EQ(summary["counts"]["error"], 1);
  EXPECT_EQ(summary["policy"], "linux.policy");
  EXPECT_EQ(summary["fit"], "medium");
  EXPECT_EQ(summary["unclassified"], 1);
}

TEST(Report, TextShowsTheWorstFirst) {
  const std::string text = FormatReportText(Example(), {}, ReportDetail::kAttention);
  EXPECT_LT(text.find("error:"), text.find("warn:"));
  EXPECT_THAT(text, HasSubstr("dependency curl: broken, not satisfied"));
  EXPECT_THAT(text, HasSubstr("rule site:3: /home/**"));
  EXPECT_THAT(text, Not(HasSubstr("/etc/motd")));
  EXPECT_THAT(text, HasSubstr("conflicts are left for a person: 1 error, 1 warn, 1 info\n"));
  EXPECT_THAT(FormatReportText(Example(), {}, ReportDetail::kAll), HasSubstr("/etc/motd"));
}

}  // namespace
}  // namespace mica::rebase
