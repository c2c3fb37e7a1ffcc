// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/fleet/fleet_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mica::rebase {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

VmRow Row(const std::string& vm, VmState state, uint64_t warnings) {
  VmRow row;
  row.vm = vm;
  row.state = state;
  row.attempts = 1;
  row.summary = {
      {"counts", {{"info", uint64_t{10}}, {"warn", warnings}}},
      {"conflicts", {{"ours", warnings}}},
      {"delta_before", {{"file-bytes", uint64_t{3} << 20}}},
      {"delta_after", {{"file-bytes", uint64_t{2} << 20}, {"shared-bytes", uint64_t{5} << 20}}}};
  return row;
}

std::vector<VmRow> Rows() {
  VmRow failed;
  failed.vm = "<script>alert(1)</script>";
  failed.state = VmState::kFailed;
  failed.message = "a \"bad\" & hostile image";
  return {Row("a", VmState::kSwitched, 0), Row("b", VmState::kConflicts, 5),
          Row("c", VmState::kQuarantined, 1), failed};
}

TEST(FleetReport, AddsUp) {
  const nlohmann::json report = FleetReport({"v2.raw", "uuid", 2.5, "why"}, Rows());
  EXPECT_EQ(report["states"]["switched"], 1);
  EXPECT_EQ(report["states"]["failed"], 1);
  EXPECT_EQ(report["conflicts"]["ours"], 6);
  EXPECT_EQ(report["severities"]["info"], 30);
  // Of VMs that were switched.
  EXPECT_EQ(report["bytes"]["before"], 6 << 20);
  EXPECT_EQ(report["bytes"]["after"], 4 << 20);
  EXPECT_EQ(report["stopped"], "why");
  EXPECT_EQ(report["vms"].size(), 4U);
  EXPECT_EQ(report["vms"][3]["message"], "a \"bad\" & hostile image");
}

TEST(FleetReport, PageSaysItAndRunsNothing) {
  const std::string page = FleetPage(FleetReport({"v2.raw", "uuid", 2.5, ""}, Rows()));
  EXPECT_THAT(page, HasSubstr("Rebase onto v2.raw"));
  EXPECT_THAT(page, HasSubstr("4 to 7"));
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;"));
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, HasSubstr("a &quot;bad&quot; &amp; hostile image"));
  EXPECT_THAT(page, Not(HasSubstr("http://")));
}

TEST(FleetReport, SurvivesSummariesOfAnyShape) {
  std::vector<VmRow> rows = Rows();
  rows[0].summary = {{"counts", "many"}, {"conflicts", {{"ours", -1}}}, {"delta_after", 7}};
  rows[1].summary = 3;
  const nlohmann::json report = FleetReport({}, rows);
  EXPECT_THAT(FleetPage(report), HasSubstr("</html>"));
}

}  // namespace
}  // namespace mica::rebase
