// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase_output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "engine/base/unique_fd.h"
#include "tools/object_text.h"

namespace mica {

namespace {

using nlohmann::json;
using rebase::JobOutcome;
using rebase::ReportEntry;
using rebase::Severity;

constexpr size_t kShownPerSeverityMax = 50;

json ChangesOf(const rebase::ObjectChange& change) {
  json list = json::array();
  if (change.created) list.push_back("created");
  if (change.deleted) list.push_back("deleted");
  if (change.content) list.push_back("content");
  if (change.attributes) list.push_back("attributes");
  if (change.names) list.push_back("names");
  return list;
}

json FactsOf(const rebase::VersionFacts& facts) {
  json object = {{"size", facts.size}, {"mtime", TimeText(facts.modified)}};
  if (facts.digest) object["xxh3"] = fmt::format("{:016x}", *facts.digest);
  return object;
}

void AddText(json& record, const char* key, const std::string& text) {
  if (!text.empty()) record[key] = EscapeName(text);
}

json RecordOf(const ReportEntry& entry, const std::vector<rebase::RescuedFile>& rescued) {
  json record = {{"topic", rebase::TopicName(entry.topic)},
                 {"path", EscapeName(entry.path)},
                 {"action", rebase::ActionName(entry.action)},
                 {"severity", rebase::SeverityName(entry.severity)}};
  if (entry.topic == rebase::Topic::kObject) record["kind"] = KindName(entry.kind);
  if (!entry.other_paths.empty()) {
    json others = json::array();
    for (const std::string& path : entry.other_paths) others.push_back(EscapeName(path));
    record["other_paths"] = std::move(others);
  }
  if (entry.ours.any()) record["ours"] = ChangesOf(entry.ours);
  if (entry.theirs.any()) record["theirs"] = ChangesOf(entry.theirs);
  AddText(record, "detail", entry.detail);
  AddText(record, "rule", entry.rule);
  AddText(record, "merger", entry.merger);
  AddText(record, "package", entry.package);
  AddText(record, "saved_beside", entry.saved_beside);
  if (entry.rescue && *entry.rescue < rescued.size()) {
    AddText(record, "saved_as", rescued[*entry.rescue].file.string());
  }
  if (entry.base_facts) record["base_version"] = FactsOf(*entry.base_facts);
  if (entry.our_facts) record["our_version"] = FactsOf(*entry.our_facts);
  if (entry.their_facts) record["their_version"] = FactsOf(*entry.their_facts);
  return record;
}

json FiguresOf(const rebase::VolumeFigures& figures) {
  return {{"partition", figures.number},
          {"our_diff", rebase::DiffMethodName(figures.our_method)},
          {"their_diff", rebase::DiffMethodName(figures.their_method)},
          {"our_changes", figures.our_changes},
          {"their_changes", figures.their_changes},
          {"seconds",
           {{"open", figures.open_seconds},
            {"our_diff", figures.our_diff_seconds},
            {"their_diff", figures.their_diff_seconds},
            {"plan", figures.plan_seconds},
            {"apply", figures.apply_seconds},
            {"verify", figures.verify_seconds},
            {"check", figures.check_seconds}}}};
}

json SummaryOf(const JobOutcome& outcome) {
  json counts = json::object();
  const auto by_severity = outcome.report.Counts();
  for (size_t i = 0; i < by_severity.size(); ++i) {
    counts[std::string(rebase::kSeverityNames[i])] = by_severity[i];
  }
  json volumes = json::array();
  for (const rebase::VolumeFigures& figures : outcome.volumes)
    volumes.push_back(FiguresOf(figures));
  json summary = {{"summary",
                   {{"entries", outcome.report.entries().size()},
                    {"severities", std::move(counts)},
                    {"highest", rebase::SeverityName(outcome.report.Highest())},
                    {"quarantined", outcome.quarantined},
                    {"seconds", outcome.total_seconds},
                    {"volumes", std::move(volumes)}}}};
  json& fields = summary["summary"];
  if (!outcome.delta.empty()) fields["delta"] = outcome.delta.string();
  if (outcome.kept) fields["kept"] = outcome.kept->string();
  if (!outcome.regenerate.empty()) {
    json paths = json::array();
    for (const std::string& path : outcome.regenerate) paths.push_back(EscapeName(path));
    fields["regenerate"] = std::move(paths);
  }
  return summary;
}

std::string LineOf(const ReportEntry& entry, const std::vector<rebase::RescuedFile>& rescued) {
  std::string line =
      fmt::format("  {:<11} {}", rebase::ActionName(entry.action), EscapeName(entry.path));
  if (!entry.detail.empty()) line += ": " + EscapeName(entry.detail);
  if (!entry.saved_beside.empty()) {
    line += fmt::format(" (the other is beside it as {})", EscapeName(entry.saved_beside));
  }
  if (entry.rescue && *entry.rescue < rescued.size()) {
    line += fmt::format(" (the other is saved as {})", rescued[*entry.rescue].file.string());
  }
  return line + "\n";
}

void PrintSeverity(Output& output, const JobOutcome& outcome, Severity severity) {
  size_t shown = 0;
  size_t count = 0;
  for (const ReportEntry& entry : outcome.report.entries()) {
    if (entry.severity != severity) continue;
    if (count++ == 0) output.Text(fmt::format("{}:\n", rebase::SeverityName(severity)));
    if (shown == kShownPerSeverityMax) continue;
    output.Text(LineOf(entry, outcome.rescued));
    ++shown;
  }
  if (count > shown) output.Text(fmt::format("  and {} more; see the report\n", count - shown));
}

void PrintText(Output& output, const JobOutcome& outcome) {
  for (const Severity severity :
       {Severity::kBlock, Severity::kError, Severity::kWarn, Severity::kNotice}) {
    PrintSeverity(output, outcome, severity);
  }
  const auto counts = outcome.report.Counts();
  output.Text(fmt::format("{} entries: {} info, {} notice, {} warn, {} error, {} block\n",
                          outcome.report.entries().size(), counts[0], counts[1], counts[2],
                          counts[3], counts[4]));
  for (const rebase::VolumeFigures& f : outcome.volumes) {
    output.Text(fmt::format(
        "partition {}: {} objects changed by the VM, {} by the patch; open {:.3f} s, diffs {:.3f} "
        "+ "
        "{:.3f} s, plan {:.3f} s, apply {:.3f} s, verify {:.3f} s, e2fsck {:.3f} s\n",
        f.number, f.our_changes, f.their_changes, f.open_seconds, f.our_diff_seconds,
        f.their_diff_seconds, f.plan_seconds, f.apply_seconds, f.verify_seconds, f.check_seconds));
  }
  if (outcome.delta.empty()) return;
  if (outcome.quarantined) {
    output.Text(fmt::format("quarantined: the VM is as it was; the new delta is {}\n",
                            outcome.delta.string()));
  } else if (outcome.kept) {
    output.Text(fmt::format("{} is rebased; its old delta is kept as {} (mica rollback)\n",
                            outcome.delta.string(), outcome.kept->string()));
  } else {
    output.Text(fmt::format("the rebased delta is {}\n", outcome.delta.string()));
  }
}

std::string Line(const json& record) {
  return record.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace

void PrintOutcome(Output& output, const JobOutcome& outcome) {
  if (!output.json()) {
    PrintText(output, outcome);
    return;
  }
  for (const ReportEntry& entry : outcome.report.entries()) {
    output.Record(RecordOf(entry, outcome.rescued));
  }
  output.Record(SummaryOf(outcome));
}

Result<void> WriteReport(const std::filesystem::path& file, const rebase::JobInput& input,
                         const JobOutcome& outcome) {
  std::string text;
  for (const ReportEntry& entry : outcome.report.entries()) {
    text += Line(RecordOf(entry, outcome.rescued));
  }
  json summary = SummaryOf(outcome);
  summary["summary"]["vm"] = input.vm.string();
  summary["summary"]["onto"] = input.target.string();
  text += Line(summary);
  const UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd) return ErrnoError(errno, "create " + file.string());
  for (std::string_view rest = text; !rest.empty();) {
    const ssize_t count = ::write(fd.get(), rest.data(), rest.size());
    if (count < 0 && errno != EINTR) return ErrnoError(errno, "write " + file.string());
    if (count > 0) rest.remove_prefix(static_cast<size_t>(count));
  }
  if (::fsync(fd.get()) != 0) return ErrnoError(errno, "sync " + file.string());
  return {};
}

}  // namespace mica
