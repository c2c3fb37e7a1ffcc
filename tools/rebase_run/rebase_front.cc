// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase_run/rebase_front.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "engine/async/sync_wait.h"
#include "formats/identity_text.h"
#include "formats/parent_path.h"
#include "tools/cli/layer_view.h"
#include "tools/rebase/job/cache_file.h"
#include "tools/rebase/job/rebase_switch.h"
#include "tools/rebase/job/staged.h"
#include "tools/rebase_run/vm_holder.h"

namespace mica {

namespace {

using rebase::BuildVerdict;
using std::filesystem::path;

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
  const path folder = DirectoryOf(file);
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
  WorkerRequest worker = WorkerRequestFor(WorkerRole::kPrepare, context, each);
  worker.vm = masters.base;
  worker.onto = masters.target;
  worker.work = folder;
  ASSIGN(const WorkerEnd end, RunWorkerToEnd(context, worker));
  // What cannot be worked out is an error of the rebase, which says it of the VM.
  if (end.status != ExitStatus::kDone) return {};
  KeepBeside(folder / "base", masters.base);
  KeepBeside(folder / "target", masters.target);
  return {};
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

struct Rebased {
  ExitStatus status = ExitStatus::kDone;
  path old_delta;  // where the VM's delta is now
};

WorkerRequest BuildRequest(const Context& context, const RebaseRequest& request,
                           const rebase::RebaseSwitch& change) {
  WorkerRequest worker = WorkerRequestFor(WorkerRole::kBuild, context, request);
  worker.delta = change.delta();
  worker.work = change.work();
  if (change.staged()) worker.staged = change.staged()->snapshot;
  worker.names.result = change.ResultName(BuildVerdict::kGood);
  worker.names.quarantine = change.ResultName(BuildVerdict::kQuarantine);
  if (change.kept_name()) worker.names.kept = *change.kept_name();
  worker.rescue_name = change.RescueFolder();
  worker.rescue_number = change.rescue_number();
  return worker;
}

// What can be done before the VM is off; a builder when there is anything for it to do.
Result<std::unique_ptr<DeltaBuilder>> WorkAhead(const Context& context,
                                                const RebaseRequest& request,
                                                const rebase::RebaseSwitch& change) {
  TRY(PrepareForAll(context, {request.vm}, request, change.work()));
  if (!change.staged()) return std::unique_ptr<DeltaBuilder>();
  WorkerRequest worker = BuildRequest(context, request, change);
  worker.delta_before = change.staged()->delta;
  return DeltaBuilder::Start(context, std::move(worker));
}

// Nobody has the VM's image open.
Result<Rebased> RebaseHeld(Context& context, const RebaseRequest& request, const VmHolder& holder,
                           std::unique_ptr<rebase::RebaseSwitch> change,
                           std::unique_ptr<DeltaBuilder> builder) {
  TRY(change->TakeVm());
  if (!change->staged()) builder.reset();
  // Of a VM that was served that was done before.
  if (!holder.is_served()) TRY(PrepareForAll(context, {request.vm}, request, change->work()));
  if (!builder) {
    ASSIGN(builder, DeltaBuilder::Start(context, BuildRequest(context, request, *change)));
  }
  ASSIGN(const BuildEnd end, builder->Run([&] { return change->StartOver(); }));
  if (!end.verdict) return Rebased{end.status, request.vm};
  TRY(change->Publish(*end.verdict));
  // The report has its own name by now.
  const path text = change->work() / "report.txt";
  PrintReport(context, context.output.json() ? path(request.report) : text, request);
  if (!context.output.json()) context.output.Text(ResultText(*change, *end.verdict, request));
  const bool switched = *end.verdict == BuildVerdict::kGood && request.output.empty();
  return Rebased{end.status, switched ? *change->kept_name() : path(request.vm)};
}

// What was staged has been used, or was of no use. An error may have left some for the next rebase.
Result<void> ClearStaged(const Context& context, const RebaseRequest& request,
                         const Result<Rebased>& rebased) {
  if (rebased) TRY(rebase::RemoveStaged(context.host, request.vm, std::nullopt));
  const path vm = rebased ? rebased->old_delta : path(request.vm);
  ASSIGN(VmHolder holder, VmHolder::Find(context, vm, request.control));
  return holder.DeleteStaleSnapshots();
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
  WorkerRequest worker = WorkerRequestFor(WorkerRole::kPredict, context, request);
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
  ASSIGN(const WorkerEnd end, RunWorkerToEnd(context, PredictionRequest(context, request)));
  return PredictionOf(end.status, end.output);
}

Result<ExitStatus> RunRebase(Context& context, const RebaseRequest& request) {
  ASSIGN(VmHolder holder, VmHolder::Find(context, request.vm, request.control));
  rebase::SwitchRequest places;
  places.vm = request.vm;
  places.target = request.onto;
  if (!request.output.empty()) places.output = request.output;
  places.report = request.report;
  ASSIGN(std::unique_ptr<rebase::RebaseSwitch> change,
         rebase::RebaseSwitch::Open(context.host, places));
  std::unique_ptr<DeltaBuilder> ahead;
  if (holder.is_served()) {
    ASSIGN(ahead, WorkAhead(context, request, *change));
  }
  TRY(holder.Hold(std::chrono::seconds(request.wait_seconds)));
  Result<Rebased> rebased =
      RebaseHeld(context, request, holder, std::move(change), std::move(ahead));
  const Result<void> released = holder.Release();
  if (request.output.empty()) {
    const Result<void> cleared = ClearStaged(context, request, rebased);
    // It takes space and does no other harm.
    if (rebased && !cleared) context.output.Note(cleared.error().message);
  }
  if (!rebased) return WithControlHelp(std::move(rebased).error());
  TRY(released);
  return rebased->status;
}

}  // namespace mica
