// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase_run/rebase_stage.h"

#include <fmt/format.h>

#include "engine/async/sync_wait.h"
#include "tools/rebase/job/rebase_work.h"
#include "tools/rebase/job/staged.h"
#include "tools/rebase_run/vm_holder.h"

namespace mica {

namespace {

using rebase::RebaseWork;
using rebase::StagedDelta;

Result<ExitStatus> BuildStaged(Context& context, const RebaseRequest& request, RebaseWork& work,
                               const StagedDelta& next) {
  ASSIGN(const std::optional<StagedDelta> previous,
         SyncWait(context.loop, rebase::LastStaged(context.host, request.vm)));
  const rebase::DiskState state{request.vm, next.snapshot};
  ASSIGN(const rebase::RebaseImages images,
         SyncWait(context.loop, rebase::OpenImages(context.host, state, request.onto)));
  TRY(PrepareForAll(context, {request.vm}, request, work.folder()));
  WorkerRequest worker = WorkerRequestFor(WorkerRole::kBuild, context, request);
  worker.snapshot = next.snapshot;
  worker.delta = work.delta();
  worker.work = work.folder();
  worker.names.result = next.delta;
  worker.names.quarantine = next.delta;
  if (previous && rebase::CheckStaged(context.host, images, *previous)) {
    TRY(work.TakeDelta(previous->delta));
    worker.staged = previous->snapshot;
  } else {
    TRY(work.MakeDelta(images));
  }
  ASSIGN(const std::unique_ptr<DeltaBuilder> builder, DeltaBuilder::Start(context, worker));
  ASSIGN(const BuildEnd end, builder->Run([&] { return work.MakeDelta(images); }));
  if (!end.verdict) return end.status;
  const char* const report = context.output.json() ? "report.jsonl" : "report.txt";
  PrintReport(context, work.folder() / report, request);
  if (*end.verdict == rebase::BuildVerdict::kBlocked) return end.status;
  TRY(work.NameDelta(next.delta));
  TRY(rebase::RemoveStaged(context.host, request.vm, next));
  if (!context.output.json()) {
    context.output.Text(
        fmt::format("{} is staged for {}; `mica rebase` without --stage finishes "
                    "it when the VM is off\n",
                    request.vm, request.onto));
  }
  return end.status;
}

}  // namespace

Result<ExitStatus> RunStage(Context& context, const RebaseRequest& request) {
  TRY(SyncWait(context.loop, context.host.Stat(request.vm)));
  ASSIGN(const std::unique_ptr<RebaseWork> work, RebaseWork::Open(context.host, request.vm));
  ASSIGN(VmHolder holder, VmHolder::Find(context, request.vm, request.control));
  // One that was killed has left its own, under the name that is next.
  TRY(holder.DeleteStaleSnapshots());
  ASSIGN(const StagedDelta next,
         SyncWait(context.loop, rebase::NextStaged(context.host, request.vm)));
  TRY(holder.TakeSnapshot(next.snapshot));
  Result<ExitStatus> staged = BuildStaged(context, request, *work, next);
  // The one before this, or this one if it came to nothing.
  const Result<void> dropped = holder.DeleteStaleSnapshots();
  if (staged) TRY(dropped);
  return staged;
}

Result<ExitStatus> RunUnstage(Context& context, const RebaseRequest& request) {
  TRY(SyncWait(context.loop, context.host.Stat(request.vm)));
  ASSIGN(const std::unique_ptr<RebaseWork> work, RebaseWork::Open(context.host, request.vm));
  ASSIGN(VmHolder holder, VmHolder::Find(context, request.vm, request.control));
  TRY(rebase::RemoveStaged(context.host, request.vm, std::nullopt));
  TRY(holder.DeleteStaleSnapshots());
  return ExitStatus::kDone;
}

}  // namespace mica
