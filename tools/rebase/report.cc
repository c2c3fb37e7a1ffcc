// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/report.h"

#include <algorithm>

namespace mica::rebase {

void Tell(ReportEntry& entry, Severity severity, std::string_view detail) {
  entry.severity = std::max(entry.severity, severity);
  if (detail.empty()) return;
  if (!entry.detail.empty()) entry.detail += "; ";
  entry.detail += detail;
}

std::string_view ActionName(Action action) {
  static constexpr std::array<std::string_view, 12> kNames = {
      "carried", "equal",   "merged",  "ours",        "theirs",     "both",
      "kept",    "removed", "dropped", "regenerated", "renumbered", "broken"};
  return kNames[static_cast<size_t>(action)];
}

std::string_view TopicName(Topic topic) {
  static constexpr std::array<std::string_view, 5> kNames = {"object", "package", "account",
                                                             "dependency", "volume"};
  return kNames[static_cast<size_t>(topic)];
}

size_t Report::Add(ReportEntry entry) {
  entries_.push_back(std::move(entry));
  return entries_.size() - 1;
}

std::array<size_t, kSeverityNames.size()> Report::Counts() const {
  std::array<size_t, kSeverityNames.size()> counts{};
  for (const ReportEntry& entry : entries_) ++counts[static_cast<size_t>(entry.severity)];
  return counts;
}

Severity Report::Highest() const {
  Severity highest = Severity::kInfo;
  for (const ReportEntry& entry : entries_) highest = std::max(highest, entry.severity);
  return highest;
}

Verdict Report::GetVerdict() const {
  const Severity highest = Highest();
  if (highest == Severity::kBlock) return Verdict::kBlocked;
  return highest >= Severity::kWarn ? Verdict::kConflicts : Verdict::kClean;
}

FitLevel Report::GetFitLevel() const {
  switch (Highest()) {
    case Severity::kInfo:
    case Severity::kNotice:
      return FitLevel::kNone;
    case Severity::kWarn:
      return FitLevel::kLow;
    case Severity::kError:
      return FitLevel::kMedium;
    case Severity::kBlock:
      break;
  }
  return FitLevel::kHigh;
}

}  // namespace mica::rebase
