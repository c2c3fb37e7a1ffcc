// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase_run/rebase_builder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include "tools/rebase/job/cache_file.h"

namespace mica {

namespace {

using rebase::BuildVerdict;

constexpr std::string_view kMisfit = "misfit ";

Result<BuildVerdict> VerdictOf(std::string_view word) {
  if (word == "good") return BuildVerdict::kGood;
  if (word == "quarantine") return BuildVerdict::kQuarantine;
  if (word == "blocked") return BuildVerdict::kBlocked;
  return Error{Errc::kIo, fmt::format("expected a verdict of the worker process, found '{}'",
                                      word.substr(0, 100))};
}

// The time that it may take begins here.
Result<WorkerEnd> EndOf(SelfProcess& process, const WorkerRequest& request) {
  const ProcessEnd end = process.Run(DeadlineOf(request.limits));
  TRY(CheckEnd(end, request));
  return WorkerEnd{static_cast<ExitStatus>(end.exit_status), process.output()};
}

}  // namespace

std::vector<std::string> RebaseArguments(const RebaseRequest& request) {
  std::vector<std::string> words = {"rebase", "--json", "--summary", "--ends-with",
                                    fmt::format("{}", ::getpid())};
  if (!request.onto.empty()) words.insert(words.end(), {"--onto", request.onto});
  for (const std::string& policy : request.policies) {
    words.insert(words.end(), {"--policy", policy});
  }
  if (!request.control.empty()) words.insert(words.end(), {"--control", request.control});
  if (request.wait_seconds != 0) words.push_back(fmt::format("--wait={}", request.wait_seconds));
  if (request.skip_check) words.emplace_back("--skip-check");
  const WorkerLimits& limits = request.limits;
  if (!limits.sandbox) words.emplace_back("--no-sandbox");
  if (!limits.mount_volumes.empty()) {
    words.push_back(fmt::format("--mount-volumes={}", fmt::join(limits.mount_volumes, ",")));
  }
  words.push_back(fmt::format("--worker-memory={}", limits.memory_bytes));
  words.push_back(fmt::format("--worker-time={}", limits.seconds));
  return words;
}

WorkerRequest WorkerRequestFor(WorkerRole role, const Context& context,
                               const RebaseRequest& request) {
  WorkerRequest worker;
  worker.role = role;
  worker.vm = request.vm;
  worker.onto = request.onto;
  worker.policies = request.policies;
  worker.names.vm = request.vm;
  worker.names.onto = request.onto;
  worker.skip_check = request.skip_check;
  worker.progress = context.progress == ProgressMode::kShown;
  worker.limits = request.limits;
  return worker;
}

Result<WorkerEnd> RunWorkerToEnd(const Context& context, const WorkerRequest& request) {
  ASSIGN(SelfProcess process, SelfProcess::Start(WorkerProcess(request, context.io)));
  return EndOf(process, request);
}

Result<std::unique_ptr<DeltaBuilder>> DeltaBuilder::Start(const Context& context,
                                                          WorkerRequest worker) {
  ASSIGN(SelfProcess process, SelfProcess::Start(WorkerProcess(worker, context.io)));
  return std::unique_ptr<DeltaBuilder>(
      new DeltaBuilder(context, std::move(worker), std::move(process)));
}

Result<BuildEnd> DeltaBuilder::Run(const std::function<Result<void>()>& start_over) {
  if (!worker_.delta_before.empty()) process_.Send(kVmIsOff);
  ASSIGN(WorkerEnd end, EndOf(process_, worker_));
  if (!worker_.staged.empty() && end.output.starts_with(kMisfit)) {
    context_.output.Note(fmt::format("{}: what was staged is of no use ({}); starting over",
                                     worker_.vm, end.output.substr(kMisfit.size())));
    TRY(start_over());
    worker_.staged.clear();
    worker_.delta_before.clear();
    ASSIGN(end, RunWorkerToEnd(context_, worker_));
  }
  BuildEnd built{end.status, std::nullopt};
  if (end.output.empty()) return built;
  ASSIGN(built.verdict, VerdictOf(end.output));
  return built;
}

void PrintReport(Context& context, const std::filesystem::path& file,
                 const RebaseRequest& request) {
  const std::optional<std::vector<char>> bytes = rebase::ReadCacheFile(file);
  std::string_view text;
  if (bytes) text = AsText(std::as_bytes(std::span(*bytes)));
  if (request.summary) {
    // The last line of the JSON; of the text the figures go without saying.
    const size_t end = text.find_last_not_of('\n');
    const size_t start = end == std::string_view::npos ? end : text.rfind('\n', end);
    text = context.output.json() && start != std::string_view::npos ? text.substr(start + 1) : text;
    if (!context.output.json()) text = {};
  }
  context.output.Text(text);
}

}  // namespace mica
