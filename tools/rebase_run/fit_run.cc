// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase_run/fit_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "tools/cli/scratch_folder.h"
#include "tools/rebase/report_format.h"
#include "tools/rebase_run/process_pool.h"
#include "tools/rebase_run/report_tail.h"
#include "tools/rebase_run/unclassified.h"

namespace mica {

namespace {

using Json = nlohmann::json;
using rebase::FitLevel;

// What is known of one VM.
struct FitRow {
  std::string vm;
  std::string error;  // why it could not be looked at; empty: it was
  Json summary;
  Json rules = Json::array();  // findings
  FitLevel level = FitLevel::kHigh;

  [[nodiscard]] uint64_t Count(const char* group, const char* name) const {
    const Json::json_pointer at(fmt::format("/{}/{}", group, name));
    return summary.contains(at) && summary[at].is_number_unsigned() ? summary[at].get<uint64_t>()
                                                                    : 0;
  }
  // Larger is worse.
  [[nodiscard]] auto Rank() const {
    return std::tuple(!error.empty(), level, Count("findings", "high"), Count("counts", "block"),
                      Count("counts", "error"), Count("findings", "medium"),
                      Count("counts", "warn"), Count("findings", "low"));
  }
};

FitLevel LevelOf(const Json& summary) {
  const std::string name = summary.is_object() ? summary.value("fit", "") : "";
  for (const FitLevel level :
       {FitLevel::kNone, FitLevel::kLow, FitLevel::kMedium, FitLevel::kHigh}) {
    if (rebase::FitLevelName(level) == name) return level;
  }
  return FitLevel::kHigh;
}

void TakeFindings(const std::string& report, Json& rules) {
  for (size_t at = 0; at < report.size();) {
    const size_t end = std::min(report.find('\n', at), report.size());
    const std::string_view line = std::string_view(report).substr(at, end - at);
    at = end + 1;
    if (!line.starts_with(R"({"topic":"rule")")) continue;
    Json finding = Json::parse(line, nullptr, false);
    if (finding.is_object()) rules.push_back(std::move(finding));
  }
}

FitRow RowOf(const std::string& vm, const ProcessPool::Ended& ended, Unclassified& unclassified) {
  FitRow row;
  row.vm = vm;
  const Prediction prediction =
      PredictionOf(static_cast<ExitStatus>(ended.end.exit_status), ended.output);
  row.error = ended.end.Misfortune();
  if (!row.error.empty()) row.error = "the worker process " + row.error;
  if (row.error.empty() && prediction.json.empty()) {
    row.error = ended.errors.substr(0, 2000);
    while (row.error.ends_with('\n')) row.error.pop_back();
  }
  if (!row.error.empty()) return row;
  row.summary = SummaryOfLine(prediction.json);
  row.level = LevelOf(row.summary);
  TakeFindings(prediction.json, row.rules);
  unclassified.Add(prediction.json);
  return row;
}

Result<std::vector<FitRow>> PredictAll(const Context& context, const FitRunRequest& request,
                                       Unclassified& unclassified) {
  std::vector<FitRow> rows;
  ProcessPool pool;
  size_t next = 0;
  while (rows.size() < request.vms.size()) {
    while (next < request.vms.size() && pool.size() < request.workers) {
      RebaseRequest each = request.each;
      each.vm = request.vms[next];
      SelfProcessRequest process = WorkerProcess(PredictionRequest(context, each), context.io);
      process.own_stderr = true;
      ASSIGN(SelfProcess started, SelfProcess::Start(process));
      pool.Add(next++, std::move(started), DeadlineOf(each.limits));
    }
    for (const ProcessPool::Ended& ended : pool.Wait(-1)) {
      rows.push_back(RowOf(request.vms[ended.key], ended, unclassified));
      if (!context.output.json()) {
        context.output.Note(
            fmt::format("{} of {}: {}", rows.size(), request.vms.size(), rows.back().vm));
      }
    }
  }
  std::ranges::sort(rows, [](const FitRow& a, const FitRow& b) {
    if (a.Rank() != b.Rank()) return a.Rank() > b.Rank();
    return a.vm < b.vm;
  });
  return rows;
}

std::string LevelText(const FitRow& row) {
  return row.error.empty() ? std::string(rebase::FitLevelName(row.level)) : "failed";
}

// "3 Kernel modules, 1 PAM"
std::string RulesText(const Json& rules) {
  std::map<std::string, size_t> counts;
  for (const Json& finding : rules) ++counts[finding.value("RuleName", "?")];
  std::string text;
  for (const auto& [name, count] : counts) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, name);
  }
  return text;
}

void PrintTable(Output& output, const std::vector<FitRow>& rows) {
  output.Text(fmt::format("{:<8}{:>6}{:>8}{:>6}{:>11}  {}\n", "fit", "high", "medium", "low",
                          "conflicts", "VM"));
  for (const FitRow& row : rows) {
    const uint64_t conflicts =
        row.Count("counts", "warn") + row.Count("counts", "error") + row.Count("counts", "block");
    output.Text(fmt::format("{:<8}{:>6}{:>8}{:>6}{:>11}  {}\n", LevelText(row),
                            row.Count("findings", "high"), row.Count("findings", "medium"),
                            row.Count("findings", "low"), conflicts, row.vm));
    const std::string more = row.error.empty() ? RulesText(row.rules) : row.error;
    if (!more.empty()) output.Text(fmt::format("{:41}{}\n", "", more));
  }
}

// How many VMs each rule speaks of.
Json RuleTotals(const std::vector<FitRow>& rows) {
  std::map<std::string, Json> totals;
  for (const FitRow& row : rows) {
    std::map<std::string, std::string> here;  // severity by rule
    for (const Json& finding : row.rules) {
      here[finding.value("RuleName", "?")] = finding.value("Severity", "?");
    }
    for (const auto& [name, severity] : here) {
      Json& total = totals[name];
      const size_t before = total.is_null() ? 0 : total["vms"].get<size_t>();
      total = {{"RuleName", name}, {"Severity", severity}, {"vms", before + 1}};
    }
  }
  Json list = Json::array();
  for (auto& [name, total] : totals) list.push_back(std::move(total));
  return list;
}

void PrintJson(Output& output, const std::vector<FitRow>& rows) {
  Json levels = Json::object();
  for (const FitRow& row : rows) {
    const std::string level = LevelText(row);
    levels[level] = levels.value(level, 0) + 1;
    Json record = {{"vm", row.vm}, {"fit", level}};
    if (row.error.empty()) {
      record["rules"] = row.rules;
      record["summary"] = row.summary;
    } else {
      record["error"] = row.error;
    }
    output.Record(record);
  }
  output.Record(
      {{"summary", {{"vms", rows.size()}, {"levels", levels}, {"rules", RuleTotals(rows)}}}});
}

void PrintUnclassified(Output& output, const std::vector<FitRow>& rows,
                       const Unclassified& unclassified) {
  size_t failed = 0;
  for (const FitRow& row : rows) {
    if (row.error.empty()) continue;
    output.Warn(fmt::format("{}: {}", row.vm, row.error));
    ++failed;
  }
  unclassified.Print(output, failed);
}

}  // namespace

FitLevel FitLevelOf(const std::string& report) {
  return LevelOf(SummaryOfLine(report));
}

Result<ExitStatus> RunFit(Context& context, const FitRunRequest& request) {
  {
    ASSIGN(const ScratchFolder scratch, ScratchFolder::Make());
    TRY(PrepareForAll(context, request.vms, request.each, scratch.path()));
  }
  Unclassified unclassified;
  ASSIGN(const std::vector<FitRow> rows, PredictAll(context, request, unclassified));
  if (request.unclassified) {
    PrintUnclassified(context.output, rows, unclassified);
  } else {
    context.output.json() ? PrintJson(context.output, rows) : PrintTable(context.output, rows);
  }
  const bool failed = std::ranges::any_of(rows, [](const FitRow& r) { return !r.error.empty(); });
  const bool worse = request.fail_on && std::ranges::any_of(rows, [&](const FitRow& row) {
                       return row.level >= *request.fail_on;
                     });
  if (worse) return ExitStatus::kFitWorse;
  return failed ? ExitStatus::kError : ExitStatus::kDone;
}

}  // namespace mica
