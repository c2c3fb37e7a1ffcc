// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <vector>

#include "tools/guest/text.h"
#include "tools/rebase/report_format.h"

namespace mica::rebase {
namespace {

std::string_view VerdictText(Verdict verdict) {
  switch (verdict) {
    case Verdict::kClean:
      return "clean";
    case Verdict::kConflicts:
      return "conflicts are left for a person";
    case Verdict::kBlocked:
      break;
  }
  return "blocked: no new delta";
}

std::string EntryText(const ReportEntry& entry, const ReportContext& context) {
  std::string_view topic;
  // A volume's name says itself what it is.
  const bool named = entry.topic == Topic::kObject || entry.topic == Topic::kVolume;
  if (!named) topic = TopicName(entry.topic);
  std::string text = fmt::format("  {}{}{}: {}", topic, topic.empty() ? "" : " ",
                                 guest::DisplayText(entry.path), ActionName(entry.action));
  if (!entry.merger.empty()) text += fmt::format(" ({} merge)", entry.merger);
  if (!entry.detail.empty()) text += ", " + guest::DisplayText(entry.detail);
  text += "\n";
  const bool same_package = entry.topic != Topic::kObject;
  if (!entry.package.empty() && !same_package) {
    text += fmt::format("      package {}\n", entry.package);
  }
  if (entry.rescue && *entry.rescue < context.rescued.size()) {
    text += fmt::format("      saved as {}\n", context.rescued[*entry.rescue].file);
  }
  if (!entry.saved_beside.empty()) {
    text += fmt::format("      beside it as {}\n", guest::DisplayText(entry.saved_beside));
  }
  if (!entry.rule.empty()) text += fmt::format("      rule {}\n", entry.rule);
  return text;
}

}  // namespace

std::string FormatReportSummary(const Report& report) {
  const auto counts = report.Counts();
  std::string text;
  for (size_t i = counts.size(); i-- > 0;) {
    if (counts[i] == 0) continue;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", counts[i], kSeverityNames[i]);
  }
  return fmt::format("{}: {}\n", VerdictText(report.GetVerdict()),
                     text.empty() ? "nothing of the VM's to carry" : text);
}

std::string FormatReportText(const Report& report, const ReportContext& context,
                             ReportDetail detail) {
  std::string text;
  const size_t lowest = detail == ReportDetail::kAll ? 0 : 1;
  for (size_t severity = kSeverityNames.size(); severity-- > lowest;) {
    std::string group;
    for (const ReportEntry& entry : report.entries()) {
      if (static_cast<size_t>(entry.severity) == severity) group += EntryText(entry, context);
    }
    if (!group.empty()) text += fmt::format("{}:\n{}", kSeverityNames[severity], group);
  }
  for (const FitFinding& finding : context.findings) {
    text += fmt::format("fit rule {} ({}): {}, {}\n", finding.rule->name,
                        FitLevelName(finding.rule->severity), guest::DisplayText(finding.path),
                        guest::DisplayText(finding.value));
  }
  return text + FormatReportSummary(report);
}

}  // namespace mica::rebase
