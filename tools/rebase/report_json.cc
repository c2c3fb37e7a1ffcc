// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <vector>

#include "tools/guest/text.h"
#include "tools/rebase/report_format.h"

namespace mica::rebase {
namespace {

using Json = nlohmann::ordered_json;

Json ChangeJson(const ObjectChange& change) {
  Json words = Json::array();
  if (change.created) words.push_back("created");
  if (change.deleted) words.push_back("deleted");
  if (change.content) words.push_back("content");
  if (change.attributes) words.push_back("attributes");
  if (change.names) words.push_back("names");
  return words;
}

void AddText(Json& json, const char* name, const std::string& text) {
  if (!text.empty()) json[name] = guest::DisplayText(text);
}

void AddFacts(Json& json, const char* name, const std::optional<VersionFacts>& facts) {
  if (!facts) return;
  Json version = {
      {"size", facts->size},
      {"modified", fmt::format("{}.{:09}", facts->modified.seconds, facts->modified.nanoseconds)}};
  if (facts->digest) version["xxh3"] = fmt::format("{:016x}", *facts->digest);
  json[name] = std::move(version);
}

// All paths of a record are escaped, or none is.
void AddPaths(Json& json, const ReportEntry& entry) {
  const bool plain =
      guest::IsPlainText(entry.path) && std::ranges::all_of(entry.other_paths, guest::IsPlainText);
  const auto text = [plain](const std::string& path) {
    return plain ? path : guest::EscapeText(path);
  };
  json["path"] = text(entry.path);
  if (!plain) json["path_escaped"] = true;
  for (const std::string& other : entry.other_paths) json["other_paths"].push_back(text(other));
}

Json EntryJson(const ReportEntry& entry, const ReportContext& context) {
  Json json;
  json["topic"] = TopicName(entry.topic);
  AddPaths(json, entry);
  if (entry.topic == Topic::kObject) json["kind"] = guest::KindName(entry.kind);
  if (entry.topic == Topic::kObject || entry.topic == Topic::kVolume) {
    json["ours"] = ChangeJson(entry.ours);
    json["theirs"] = ChangeJson(entry.theirs);
  }
  json["action"] = ActionName(entry.action);
  json["severity"] = SeverityName(entry.severity);
  AddText(json, "detail", entry.detail);
  if (entry.unclassified) json["unclassified"] = true;
  AddText(json, "rule", entry.rule);
  AddText(json, "merger", entry.merger);
  AddText(json, "package", entry.package);
  if (entry.rescue && *entry.rescue < context.rescued.size()) {
    const SavedVersion& saved = context.rescued[*entry.rescue];
    AddText(json, "saved", saved.file);
    json["saved_version"] = {
        {"side", SideName(saved.side)}, {"size", saved.bytes}, {"digest", saved.digest}};
  }
  AddText(json, "saved_beside", entry.saved_beside);
  AddText(json, "volume", entry.volume);
  AddText(json, "mounted_at", entry.mounted_at);
  AddFacts(json, "base", entry.base_facts);
  AddFacts(json, "our", entry.our_facts);
  AddFacts(json, "their", entry.their_facts);
  return json;
}

void AddGroups(Json& summary, const ReportContext& context) {
  for (const auto& [name, group] : context.groups) {
    for (const auto& [key, value] : group) {
      if (const auto* number = std::get_if<uint64_t>(&value)) {
        summary[name][key] = *number;
      } else {
        summary[name][key] = guest::DisplayText(std::get<std::string>(value));
      }
    }
  }
}

// How many of what a person should look at ended in which way.
Json ConflictsJson(const Report& report) {
  Json conflicts = Json::object();
  for (const ReportEntry& entry : report.entries()) {
    if (entry.severity < Severity::kWarn) continue;
    Json& count = conflicts[std::string(ActionName(entry.action))];
    count = count.is_null() ? 1 : count.get<size_t>() + 1;
  }
  return conflicts;
}

// Capitals as in the rules.
std::string SeverityOf(const FitRule& rule) {
  std::string name(FitLevelName(rule.severity));
  name.front() = static_cast<char>(name.front() - 'a' + 'A');
  return name;
}

Json FindingJson(const FitFinding& finding) {
  Json json = {{"topic", "rule"},
               {"RuleName", finding.rule->name},
               {"Severity", SeverityOf(*finding.rule)},
               {"Comment", finding.rule->comment}};
  const bool plain = guest::IsPlainText(finding.path);
  json["path"] = plain ? finding.path : guest::EscapeText(finding.path);
  if (!plain) json["path_escaped"] = true;
  json["value"] = guest::DisplayText(finding.value);
  return json;
}

FitLevel WorstOf(const Report& report, std::span<const FitFinding> findings) {
  FitLevel worst = report.GetFitLevel();
  for (const FitFinding& finding : findings) worst = std::max(worst, finding.rule->severity);
  return worst;
}

Json FindingCounts(std::span<const FitFinding> findings) {
  Json counts = {{"low", 0}, {"medium", 0}, {"high", 0}};
  for (const FitFinding& finding : findings) {
    Json& count = counts[std::string(FitLevelName(finding.rule->severity))];
    count = count.get<size_t>() + 1;
  }
  return counts;
}

std::string_view VerdictName(Verdict verdict) {
  static constexpr std::array<std::string_view, 3> kNames = {"clean", "conflicts", "blocked"};
  return kNames[static_cast<size_t>(verdict)];
}

}  // namespace

std::string_view FitLevelName(FitLevel level) {
  static constexpr std::array<std::string_view, 4> kNames = {"none", "low", "medium", "high"};
  return kNames[static_cast<size_t>(level)];
}

std::string FormatReportJson(const Report& report, const ReportContext& context) {
  std::string text;
  for (const ReportEntry& entry : report.entries()) {
    text += EntryJson(entry, context).dump() + "\n";
  }
  for (const FitFinding& finding : context.findings) text += FindingJson(finding).dump() + "\n";
  Json summary;
  for (const auto& [name, value] : context.facts) summary[name] = guest::DisplayText(value);
  AddGroups(summary, context);
  const auto counts = report.Counts();
  for (size_t i = 0; i < counts.size(); ++i)
    summary["counts"][std::string(kSeverityNames[i])] = counts[i];
  summary["conflicts"] = ConflictsJson(report);
  summary["highest"] = SeverityName(report.Highest());
  summary["verdict"] = VerdictName(report.GetVerdict());
  summary["unclassified"] = std::ranges::count(report.entries(), true, &ReportEntry::unclassified);
  if (!context.findings.empty()) summary["findings"] = FindingCounts(context.findings);
  summary["fit"] = FitLevelName(WorstOf(report, context.findings));
  return text + Json({{"summary", std::move(summary)}}).dump() + "\n";
}

}  // namespace mica::rebase
