// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/build_delta.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "engine/async/sync_wait.h"
#include "engine/jobs/drop_same.h"
#include "formats/open_chain.h"

namespace mica::rebase {

namespace {

Result<void> ApplyVolumes(PlannedJob& job, const StagedJob& staged,
                          const guest::ApplyOptions& options, ImageChain& result) {
  for (const std::unique_ptr<VolumeRebase>& volume : job.volumes) {
    VolumeRebase* earlier = nullptr;
    if (staged.job) earlier = staged.job->Find(volume->figures().id);
    if (earlier == nullptr) {
      TRY(OfGuest(volume->Apply(result, options)));
    } else {
      TRY(OfGuest(volume->CatchUp(result, *earlier, staged.changed, options)));
    }
  }
  for (CarriedVolume& volume : job.carried) TRY(volume.Apply(result));
  return {};
}

// Writes all volumes onto the new delta, without what the target has as well.
Result<void> ApplyAll(EventLoop& loop, PlannedJob& job, const StagedJob& staged,
                      const BuildOptions& options, ImageChain& result, JobOutcome& outcome) {
  guest::ApplyOptions apply;
  apply.now.seconds = ::time(nullptr);
  apply.progress = options.progress;
  TRY(ApplyVolumes(job, staged, apply, result));
  const ChainJobOptions quiet;
  ASSIGN(const ChainJobTotals totals,
         SyncWait(loop, DropSameAsParent(result, *job.images.target, quiet)));
  outcome.proof.dropped_bytes = totals.dropped_bytes;
  return {};
}

// What is not as it was planned.
Result<std::vector<std::string>> VerifyAll(PlannedJob& job, const BuildOptions& options,
                                           ImageChain& result) {
  VerifyOptions verify;
  verify.check = options.check;
  verify.scratch_folder = options.work.string();
  std::vector<std::string> discrepancies;
  for (const std::unique_ptr<VolumeRebase>& volume : job.volumes) {
    ASSIGN(const std::vector<std::string> found, OfGuest(volume->Verify(result, verify)));
    discrepancies.insert(discrepancies.end(), found.begin(), found.end());
  }
  TRY(VerifyCarried(job, result, discrepancies));
  return discrepancies;
}

}  // namespace

Result<void> VerifyCarried(PlannedJob& job, ImageChain& result, std::vector<std::string>& wrong) {
  for (CarriedVolume& volume : job.carried) {
    ASSIGN(const std::vector<std::string> found, volume.Verify(result));
    wrong.insert(wrong.end(), found.begin(), found.end());
  }
  return {};
}

Result<void> BuildDelta(Host& host, PlannedJob& job, const StagedJob& staged,
                        const BuildOptions& options, JobOutcome& outcome) {
  EventLoop& loop = host.loop();
  OpenChainOptions open;
  open.writable = true;
  open.buffered = true;
  open.format = "mica";
  open.parents = job.images.parents.get();
  ASSIGN(const std::unique_ptr<ImageChain> result,
         SyncWait(loop, OpenChain(host, options.delta, open)));
  const Result<void> applied = ApplyAll(loop, job, staged, options, *result, outcome);
  Result<std::vector<std::string>> discrepancies = std::vector<std::string>();
  if (applied) discrepancies = VerifyAll(job, options, *result);
  Result<DeltaFacts> facts = DeltaFacts();
  if (applied) facts = SyncWait(loop, FactsOfDelta(host, *result, options.delta));
  const Result<void> closed = SyncWait(loop, result->Close());
  TRY(applied);
  TRY(discrepancies);
  TRY(facts);
  TRY(closed);
  outcome.proof.after = *facts;
  if (discrepancies->empty()) return {};
  return Error{
      Errc::kCorrupt,
      fmt::format("{}: the rebased disk is not what was planned, so it was thrown away and "
                  "the VM is as it was. Found: {}",
                  job.images.vm_path.string(), fmt::join(*discrepancies, "; "))};
}

}  // namespace mica::rebase
