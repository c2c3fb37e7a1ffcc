// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase_run/stage_run.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>

#include "tools/cli/scratch_folder.h"
#include "tools/rebase_run/process_pool.h"
#include "tools/rebase_run/report_tail.h"

namespace mica {

namespace {

using Json = nlohmann::json;

class StageRun {
 public:
  StageRun(Context& context, const StageRunRequest& request)
      : context_(context), request_(request) {}

  Result<ExitStatus> Run() {
    for (size_t next = 0; ended_ < request_.vms.size();) {
      while (next < request_.vms.size() && pool_.size() < request_.workers) TRY(Start(next++));
      for (const ProcessPool::Ended& ended : pool_.Wait(-1)) Tell(ended);
    }
    Json states = Json::object();
    for (const auto& [state, count] : states_) states[state] = count;
    if (context_.output.json()) {
      context_.output.Record({{"summary", {{"vms", ended_}, {"states", std::move(states)}}}});
    }
    if (states_.contains("failed") || states_.contains("busy")) return ExitStatus::kError;
    return states_.contains("conflicts") ? ExitStatus::kConflicts : ExitStatus::kDone;
  }

 private:
  Result<void> Start(size_t vm) {
    SelfProcessRequest process;
    process.own_stderr = true;
    process.arguments = RebaseArguments(request_.each);
    const bool stage = request_.action == StageAction::kStage;
    process.arguments.insert(process.arguments.end(),
                             {stage ? "--stage" : "--unstage", "--", request_.vms[vm]});
    ASSIGN(SelfProcess started, SelfProcess::Start(process));
    pool_.Add(vm, std::move(started), std::nullopt);
    return {};
  }

  [[nodiscard]] std::string StateOf(const ProcessEnd& end) const {
    if (end.signal != 0) return "failed";
    switch (static_cast<ExitStatus>(end.exit_status)) {
      case ExitStatus::kDone:
        return request_.action == StageAction::kStage ? "staged" : "unstaged";
      case ExitStatus::kConflicts:
        return "conflicts";
      case ExitStatus::kBusy:
        return "busy";
      default:
        return "failed";
    }
  }

  void Tell(const ProcessPool::Ended& ended) {
    const std::string& vm = request_.vms[ended.key];
    const std::string state = StateOf(ended.end);
    ++ended_;
    ++states_[state];
    std::string message = ended.errors.substr(0, 2000);
    while (message.ends_with('\n')) message.pop_back();
    if (context_.output.json()) {
      Json record = {{"vm", vm}, {"state", state}, {"seconds", ended.seconds}};
      if (!message.empty()) record["message"] = message;
      const Json summary = SummaryOfLine(ended.output);
      if (!summary.is_null()) record["summary"] = summary;
      context_.output.Record(record);
      return;
    }
    context_.output.Text(fmt::format("{} of {}: {}: {}, {:.1f} s{}{}\n", ended_,
                                     request_.vms.size(), vm, state, ended.seconds,
                                     message.empty() ? "" : ": ", message));
  }

  Context& context_;
  const StageRunRequest& request_;
  ProcessPool pool_;
  size_t ended_ = 0;
  std::map<std::string, size_t> states_;
};

}  // namespace

Result<ExitStatus> RunStageOfMany(Context& context, const StageRunRequest& request) {
  if (request.action == StageAction::kStage) {
    ASSIGN(const ScratchFolder scratch, ScratchFolder::Make());
    TRY(PrepareForAll(context, request.vms, request.each, scratch.path()));
  }
  return StageRun(context, request).Run();
}

}  // namespace mica
