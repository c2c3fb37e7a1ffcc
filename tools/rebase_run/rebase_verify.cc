// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase_run/rebase_verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/base/lines.h"
#include "tools/cli/scratch_folder.h"
#include "tools/rebase/job/cache_file.h"
#include "tools/rebase_run/report_tail.h"

namespace mica {

namespace {

using Json = nlohmann::json;

constexpr size_t kShownMax = 20;

struct Check {
  std::string what;
  bool as_reported = false;
  std::vector<std::string> details;
};

std::string TextAt(const Json& json, const char* pointer) {
  const Json::json_pointer at(pointer);
  return json.contains(at) && json[at].is_string() ? json[at].get<std::string>() : std::string();
}

Check Compare(std::string what, const std::string& reported, const std::string& found) {
  Check check{std::move(what), !reported.empty() && reported == found, {}};
  if (!check.as_reported) {
    check.details.push_back(fmt::format("reported {}, found {}", reported, found));
  }
  return check;
}

// What a second plan cannot know (where losing versions were saved), and what reports of earlier
// versions have not.
constexpr const char* kNotCompared[] = {"saved", "saved_version", "volume", "mounted_at",
                                        "unclassified"};

// The entries of a report, one a line.
std::vector<std::string> Entries(std::string_view report) {
  std::vector<std::string> entries;
  while (!report.empty()) {
    Json line = Json::parse(TakeLine(report), nullptr, false);
    if (!line.is_object() || line.contains("summary")) continue;
    for (const char* const name : kNotCompared) line.erase(name);
    entries.push_back(line.dump(-1, ' ', false, Json::error_handler_t::replace));
  }
  std::ranges::sort(entries);
  return entries;
}

Check CompareEntries(std::string_view reported, std::string_view planned) {
  const std::vector<std::string> before = Entries(reported);
  const std::vector<std::string> now = Entries(planned);
  Check check{"what became of each path", before == now, {}};
  std::vector<std::string> only;
  std::ranges::set_difference(before, now, std::back_inserter(only));
  for (const std::string& line : only) check.details.push_back("only in the report: " + line);
  only.clear();
  std::ranges::set_difference(now, before, std::back_inserter(only));
  for (const std::string& line : only) check.details.push_back("only planned now: " + line);
  return check;
}

std::string Identity(const Json& summary, const char* which) {
  return fmt::format("uuid {} digest {}", TextAt(summary, fmt::format("/{}/uuid", which).c_str()),
                     TextAt(summary, fmt::format("/{}/digest", which).c_str()));
}

struct Rechecked {
  std::string planned;  // report of a rebase now
  Json found;           // {"digest", "differences"}
};

Result<Rechecked> RunRecheck(const Context& context, const VerifyRequest& request,
                             const Json& summary) {
  ASSIGN(const ScratchFolder scratch, ScratchFolder::Make());
  WorkerRequest worker;
  worker.role = WorkerRole::kRecheck;
  worker.vm = TextAt(summary, "/kept");
  if (worker.vm.empty()) worker.vm = TextAt(summary, "/vm");  // with -o it has stayed
  worker.onto = TextAt(summary, "/onto");
  worker.delta = TextAt(summary, "/delta");
  if (worker.delta.empty()) worker.delta = TextAt(summary, "/quarantined");
  if (worker.vm.empty() || worker.onto.empty() || worker.delta.empty()) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("{}: expected the report of a rebase with a result, found none",
                             request.report)};
  }
  worker.policies = request.policies;
  worker.names.vm = worker.vm;
  worker.names.onto = worker.onto;
  worker.work = scratch.path();
  worker.limits = request.limits;
  ASSIGN(SelfProcess process, SelfProcess::Start(WorkerProcess(worker, context.io)));
  const ProcessEnd end = process.Run(DeadlineOf(worker.limits));
  TRY(CheckEnd(end, worker));
  const size_t zero = process.output().find('\0');
  if (zero == std::string::npos) {
    return Error{Errc::kIo,
                 fmt::format("{}: it cannot be planned again, see above; without the old "
                             "delta and both masters nothing can be verified",
                             worker.delta)};
  }
  return Rechecked{process.output().substr(0, zero),
                   Json::parse(process.output().substr(zero + 1), nullptr, false)};
}

std::vector<Check> CheckAll(std::string_view report, const Json& summary,
                            const Rechecked& rechecked) {
  const Json now = SummaryOfLine(rechecked.planned);
  std::vector<Check> checks;
  checks.push_back(Compare("the old master", Identity(summary, "base_identity"),
                           Identity(now, "base_identity")));
  checks.push_back(Compare("the new master", Identity(summary, "onto_identity"),
                           Identity(now, "onto_identity")));
  checks.push_back(
      Compare("the policy", TextAt(summary, "/policy_digest"), TextAt(now, "/policy_digest")));
  checks.push_back(Compare("the old delta", TextAt(summary, "/delta_before/digest"),
                           TextAt(now, "/delta_before/digest")));
  checks.push_back(CompareEntries(report, rechecked.planned));
  checks.push_back(Compare("the new delta, byte by byte", TextAt(summary, "/delta_after/digest"),
                           TextAt(rechecked.found, "/digest")));
  Check files{"the files of the result, and e2fsck", false, {}};
  if (rechecked.found.is_object() && rechecked.found.contains("differences")) {
    for (const Json& line : rechecked.found["differences"]) {
      files.details.push_back(line.is_string() ? line.get<std::string>() : line.dump());
    }
    files.as_reported = files.details.empty();
  }
  checks.push_back(std::move(files));
  return checks;
}

constexpr size_t kOfResult = 2;  // the last checks are about what the VM may have changed since

ExitStatus StatusOfChecks(const std::vector<Check>& checks) {
  const auto good = [](const Check& check) { return check.as_reported; };
  const auto of_result = checks.end() - kOfResult;
  if (!std::all_of(checks.begin(), of_result, good)) return ExitStatus::kError;
  return std::all_of(of_result, checks.end(), good) ? ExitStatus::kDone : ExitStatus::kConflicts;
}

void Print(Output& output, const std::vector<Check>& checks, ExitStatus status) {
  if (output.json()) {
    Json list = Json::array();
    for (const Check& check : checks) {
      list.push_back(
          {{"what", check.what}, {"as-reported", check.as_reported}, {"details", check.details}});
    }
    output.Document({{"verified", status == ExitStatus::kDone}, {"checks", std::move(list)}});
    return;
  }
  for (const Check& check : checks) {
    output.Text(
        fmt::format("{:<14} {}\n", check.as_reported ? "as reported" : "differs", check.what));
    for (size_t i = 0; i < std::min(kShownMax, check.details.size()); ++i) {
      output.Text(fmt::format("               {}\n", check.details[i]));
    }
    if (check.details.size() > kShownMax) {
      output.Text(fmt::format("               and {} more\n", check.details.size() - kShownMax));
    }
  }
  if (status == ExitStatus::kConflicts) {
    output.Text("the result has changed since the rebase: the VM has run\n");
  }
}

}  // namespace

Result<ExitStatus> RunVerify(Context& context, const VerifyRequest& request) {
  const std::optional<std::vector<char>> bytes = rebase::ReadCacheFile(request.report);
  if (!bytes) return ErrnoError(errno, fmt::format("{}: cannot be read", request.report));
  const std::string_view report(bytes->data(), bytes->size());
  const Json summary = SummaryOfLine(report);
  ASSIGN(const Rechecked rechecked, RunRecheck(context, request, summary));
  const std::vector<Check> checks = CheckAll(report, summary, rechecked);
  const ExitStatus status = StatusOfChecks(checks);
  Print(context.output, checks, status);
  return status;
}

}  // namespace mica
