// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase_front.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "engine/async/sync_wait.h"
#include "formats/identity_text.h"
#include "formats/parent_path.h"
#include "tools/layer_view.h"
#include "tools/rebase/job/cache_file.h"
#include "tools/rebase/job/rebase_switch.h"

namespace mica {

namespace {

using rebase::BuildVerdict;
using std::filesystem::path;

WorkerRequest RequestFor(WorkerRole role, const Context& context, const RebaseRequest& request) {
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

struct WorkerEnd {
  ExitStatus status = ExitStatus::kDone;
  std::string output;
};

Result<WorkerEnd> RunToEnd(IoEngineKind io, const WorkerRequest& request) {
  ASSIGN(SelfProcess process, SelfProcess::Start(WorkerProcess(request, io)));
  const ProcessEnd end = process.Run(DeadlineOf(request.limits));
  TRY(CheckEnd(end, request));
  return WorkerEnd{static_cast<ExitStatus>(end.exit_status), process.output()};
}

// Copies what a worker has kept for the masters to where it is looked for. The worker has seen the
// masters only.
void KeepBeside(const path& folder, const path& master) {
  std::error_code failed;
  const std::string prefix = master.filename().string() + ".p";
  for (const auto& entry : std::filesystem::directory_iterator(folder, failed)) {
    const path file = entry.path();
    const std::string name = file.filename().string();
    if (!name.starts_with(prefix) || !entry.is_regular_file(failed)) continue;
    const std::optional<std::vector<char>> bytes = rebase::ReadCacheFile(file);
    if (!bytes) continue;
    rebase::KeepCacheFile(master.parent_path() / name, std::as_bytes(std::span(*bytes)));
  }
}

bool IsPrepared(const LayerIdentity& base, const path& file) {
  const path folder = file.has_parent_path() ? file.parent_path() : path(".");
  const std::string prefix = file.filename().string() + ".p";
  const std::string suffix = fmt::format(".from-{}.changes", UuidText(base.uuid));
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(folder, failed)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(prefix) && name.ends_with(suffix)) return true;
  }
  return false;
}

struct Masters {
  path base;
  path target;
};

Result<void> PrepareMasters(const Context& context, const RebaseRequest& each,
                            const Masters& masters, const path& folder) {
  WorkerRequest worker = RequestFor(WorkerRole::kPrepare, context, each);
  worker.vm = masters.base;
  worker.onto = masters.target;
  worker.work = folder;
  ASSIGN(const WorkerEnd end, RunToEnd(context.io, worker));
  // What cannot be worked out is an error of the rebase, which says it of the VM.
  if (end.status != ExitStatus::kDone) return {};
  KeepBeside(folder / "base", masters.base);
  KeepBeside(folder / "target", masters.target);
  return {};
}

Result<BuildVerdict> VerdictOf(std::string_view word) {
  if (word == "good") return BuildVerdict::kGood;
  if (word == "quarantine") return BuildVerdict::kQuarantine;
  if (word == "blocked") return BuildVerdict::kBlocked;
  return Error{Errc::kIo, fmt::format("expected a verdict of the worker process, found '{}'",
                                      word.substr(0, 100))};
}

std::string ResultText(const rebase::RebaseSwitch& change, BuildVerdict verdict,
                       const RebaseRequest& request) {
  const std::string name = change.ResultName(verdict).string();
  if (verdict == BuildVerdict::kBlocked) return {};
  if (!request.output.empty()) return fmt::format("the rebased delta is {}\n", name);
  if (verdict == BuildVerdict::kQuarantine) {
    return fmt::format("quarantined: the VM is as it was; the new delta is {}\n", name);
  }
  return fmt::format("{} is rebased; its old delta is kept as {} (mica rollback)\n", name,
                     change.kept_name()->string());
}

// What the worker wrote, from the folder it wrote it to or from the place that was given to it.
void Print(Context& context, const rebase::RebaseSwitch& change, BuildVerdict verdict,
           const RebaseRequest& request) {
  const path file = context.output.json() ? path(request.report) : change.work() / "report.txt";
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
  if (!context.output.json()) context.output.Text(ResultText(change, verdict, request));
}

}  // namespace

Result<void> PrepareForAll(const Context& context, const std::vector<std::string>& vms,
                           const RebaseRequest& each, const path& folder) {
  ASSIGN(const LayerView target,
         SyncWait(context.loop,
                  ViewLayer(context.host, each.onto, std::nullopt, LayerDetail::kBasic)));
  std::set<std::string> seen;
  for (const std::string& vm : vms) {
    const Result<LayerView> view =
        SyncWait(context.loop, ViewLayer(context.host, vm, std::nullopt, LayerDetail::kBasic));
    // Whatever is wrong with a VM shows when its turn comes.
    if (!view || !view->info.parent || !view->info.parent->identity) continue;
    const ParentReference& parent = *view->info.parent;
    if (parent.identity == target.info.identity) continue;
    if (!seen.insert(IdentityText(parent.identity)).second) continue;
    const Masters masters{ResolveParentPath(vm, parent.path), each.onto};
    if (IsPrepared(*parent.identity, masters.target)) continue;
    const path work = folder / "preparing";
    std::error_code failed;
    std::filesystem::remove_all(work, failed);
    std::filesystem::create_directory(work, failed);
    if (failed) return ErrnoError(failed.value(), "create directory " + work.string());
    TRY(PrepareMasters(context, each, masters, work));
    std::filesystem::remove_all(work, failed);
  }
  return {};
}

WorkerRequest PredictionRequest(const Context& context, const RebaseRequest& request) {
  WorkerRequest worker = RequestFor(WorkerRole::kPredict, context, request);
  worker.fit = true;
  worker.rules = request.rules;
  return worker;
}

Prediction PredictionOf(ExitStatus status, const std::string& output) {
  Prediction prediction;
  prediction.status = status;
  const size_t zero = output.find('\0');
  if (zero == std::string::npos) return prediction;  // it has said what went wrong
  prediction.json = output.substr(0, zero);
  prediction.text = output.substr(zero + 1);
  return prediction;
}

Result<Prediction> Predict(const Context& context, const RebaseRequest& request) {
  ASSIGN(const WorkerEnd end, RunToEnd(context.io, PredictionRequest(context, request)));
  return PredictionOf(end.status, end.output);
}

Result<ExitStatus> RunRebase(Context& context, const RebaseRequest& request) {
  rebase::SwitchRequest places;
  places.vm = request.vm;
  places.target = request.onto;
  if (!request.output.empty()) places.output = request.output;
  places.report = request.report;
  ASSIGN(const std::unique_ptr<rebase::RebaseSwitch> change,
         rebase::RebaseSwitch::Open(context.host, places));
  TRY(PrepareForAll(context, {request.vm}, request, change->work()));
  WorkerRequest worker = RequestFor(WorkerRole::kBuild, context, request);
  worker.delta = change->delta();
  worker.work = change->work();
  worker.names.result = change->ResultName(BuildVerdict::kGood);
  worker.names.quarantine = change->ResultName(BuildVerdict::kQuarantine);
  if (change->kept_name()) worker.names.kept = *change->kept_name();
  worker.rescue_name = change->RescueFolder();
  worker.rescue_number = change->rescue_number();
  ASSIGN(const WorkerEnd end, RunToEnd(context.io, worker));
  if (end.output.empty()) return end.status;  // it has said what went wrong
  ASSIGN(const BuildVerdict verdict, VerdictOf(end.output));
  TRY(change->Publish(verdict));
  Print(context, *change, verdict, request);
  return end.status;
}

}  // namespace mica
