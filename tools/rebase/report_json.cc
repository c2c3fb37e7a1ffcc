// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <vector>

#include "tools/rebase/report_format.h"

namespace mica::rebase {
namespace {

using Json = nlohmann::ordered_json;

std::string_view KindName(guest::ObjectKind kind) {
  static constexpr std::array<std::string_view, 7> kNames = {
      "file", "directory", "symlink", "char-device", "block-device", "fifo", "socket"};
  return kNames[static_cast<size_t>(kind)];
}

// How many bytes a well-formed UTF-8 character at the beginning has; 0 when there is none.
size_t CharacterLength(std::string_view text) {
  const auto first = static_cast<unsigned char>(text.front());
  if (first < 0x80) return first < 0x20 || first == 0x7f ? 0 : 1;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) return 0;
  }
  const auto second = static_cast<unsigned char>(text[1]);
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool beyond = (first == 0xed && second > 0x9f) || (first == 0xf4 && second > 0x8f);
  return overlong || beyond ? 0 : length;
}

bool IsClean(std::string_view path) {
  while (!path.empty()) {
    const size_t length = CharacterLength(path);
    if (length == 0) return false;
    path.remove_prefix(length);
  }
  return true;
}

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
  if (!text.empty()) json[name] = EscapePath(text).text;
}

void AddFacts(Json& json, const char* name, const std::optional<VersionFacts>& facts) {
  if (!facts) return;
  Json version = {
      {"size", facts->size},
      {"modified", fmt::format("{}.{:09}", facts->modified.seconds, facts->modified.nanoseconds)}};
  if (facts->digest) version["xxh3"] = fmt::format("{:016x}", *facts->digest);
  json[name] = std::move(version);
}

Json EntryJson(const ReportEntry& entry, const ReportContext& context) {
  Json json;
  json["topic"] = TopicName(entry.topic);
  const EscapedPath path = EscapePath(entry.path);
  json["path"] = path.text;
  if (path.escaped) json["path_escaped"] = true;
  for (const std::string& other : entry.other_paths) {
    json["other_paths"].push_back(EscapePath(other).text);
  }
  if (entry.topic == Topic::kObject) {
    json["kind"] = KindName(entry.kind);
    json["ours"] = ChangeJson(entry.ours);
    json["theirs"] = ChangeJson(entry.theirs);
  }
  json["action"] = ActionName(entry.action);
  json["severity"] = SeverityName(entry.severity);
  AddText(json, "detail", entry.detail);
  AddText(json, "rule", entry.rule);
  AddText(json, "merger", entry.merger);
  AddText(json, "package", entry.package);
  if (entry.rescue && *entry.rescue < context.rescued.size()) {
    AddText(json, "saved", context.rescued[*entry.rescue]);
  }
  AddText(json, "saved_beside", entry.saved_beside);
  AddFacts(json, "base", entry.base_facts);
  AddFacts(json, "our", entry.our_facts);
  AddFacts(json, "their", entry.their_facts);
  return json;
}

std::string_view FitLevelName(FitLevel level) {
  static constexpr std::array<std::string_view, 4> kNames = {"none", "low", "medium", "high"};
  return kNames[static_cast<size_t>(level)];
}

std::string_view VerdictName(Verdict verdict) {
  static constexpr std::array<std::string_view, 3> kNames = {"clean", "conflicts", "blocked"};
  return kNames[static_cast<size_t>(verdict)];
}

}  // namespace

EscapedPath EscapePath(std::string_view path) {
  if (IsClean(path)) return {std::string(path), false};
  EscapedPath out = {"", true};
  while (!path.empty()) {
    const size_t length = CharacterLength(path);
    if (length == 0) {
      out.text += fmt::format("\\x{:02x}", static_cast<unsigned char>(path.front()));
    } else if (path.front() == '\\') {
      out.text += "\\\\";
    } else {
      out.text += path.substr(0, length);
    }
    path.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

std::string FormatReportJson(const Report& report, const ReportContext& context) {
  std::string text;
  for (const ReportEntry& entry : report.entries()) {
    text += EntryJson(entry, context).dump() + "\n";
  }
  Json summary;
  for (const auto& [name, value] : context.facts) summary[name] = EscapePath(value).text;
  const auto counts = report.Counts();
  for (size_t i = 0; i < counts.size(); ++i)
    summary["counts"][std::string(kSeverityNames[i])] = counts[i];
  summary["highest"] = SeverityName(report.Highest());
  summary["verdict"] = VerdictName(report.GetVerdict());
  summary["fit"] = FitLevelName(report.GetFitLevel());
  return text + Json({{"summary", std::move(summary)}}).dump() + "\n";
}

}  // namespace mica::rebase
