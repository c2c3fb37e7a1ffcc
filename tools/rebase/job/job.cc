// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/job.h"

#include <iterator>
#include <utility>

#include "engine/async/sync_wait.h"
#include "formats/open_chain.h"
#include "tools/guest/path.h"
#include "tools/rebase/job/build_delta.h"
#include "tools/rebase/job/planned_job.h"
#include "tools/rebase/job/rescue.h"
#include "tools/rebase/job/staged_job.h"
#include "tools/rebase/job/stopwatch.h"
#include "tools/rebase/job/volume_patch.h"

namespace mica::rebase {

namespace {

using std::filesystem::path;

// Entries that speak of rescued files count them per volume; here they count on.
void CollectReports(PlannedJob& job, JobOutcome& outcome) {
  for (ReportEntry& entry : job.layout_entries) outcome.report.Add(std::move(entry));
  size_t rescues_before = 0;
  for (size_t i = 0; i < job.volumes.size(); ++i) {
    const PlanOutcome& planned = job.volumes[i]->outcome();
    const std::string& mount_point = job.mount_points[i];
    for (ReportEntry entry : planned.report.entries()) {
      if (entry.rescue) *entry.rescue += rescues_before;
      entry.volume = job.volumes[i]->figures().id.Text();
      entry.mounted_at = mount_point;
      if (entry.topic == Topic::kObject) {
        entry.path = guest::MountedPath(mount_point, entry.path);
        for (std::string& other : entry.other_paths) {
          other = guest::MountedPath(mount_point, other);
        }
      }
      outcome.report.Add(std::move(entry));
    }
    rescues_before += planned.rescues.size();
    for (const std::string& path : planned.regenerate) {
      outcome.regenerate.push_back(guest::MountedPath(mount_point, path));
    }
  }
}

void CollectFigures(const PlannedJob& job, JobOutcome& outcome) {
  outcome.volumes.clear();
  for (const std::unique_ptr<VolumeRebase>& volume : job.volumes) {
    outcome.volumes.push_back(volume->figures());
  }
}

Result<void> CollectProof(Host& host, PlannedJob& job, const std::string& policy_digest,
                          JobOutcome& outcome) {
  Proof& proof = outcome.proof;
  proof.base = job.images.base->layer(0).info().identity;
  proof.target = job.images.target->layer(0).info().identity;
  proof.policy_digest = policy_digest;
  ASSIGN(proof.before,
         SyncWait(host.loop(), FactsOfDelta(host, *job.images.vm, job.images.vm_path)));
  return {};
}

Result<void> SaveRescues(PlannedJob& job, const BuildOptions& options, JobOutcome& outcome) {
  const path folder = options.work / "rescue";
  for (const std::unique_ptr<VolumeRebase>& volume : job.volumes) {
    for (const RescueItem& item : volume->outcome().rescues) {
      const size_t number = options.rescue_number + outcome.rescued.size();
      ASSIGN(RescuedFile saved, SaveRescue(volume->VolumeOf(item.side), item, folder, number));
      saved.file = options.rescue_name / saved.file.filename();
      outcome.rescued.push_back(std::move(saved));
    }
  }
  return {};
}

Result<std::unique_ptr<PlannedJob>> PlanAndReport(Host& host, const JobInput& input,
                                                  JobOutcome& outcome, const PlannedJob* like) {
  ASSIGN(std::unique_ptr<PlannedJob> job, PlanJob(host, input, like));
  CollectReports(*job, outcome);
  TRY(CollectProof(host, *job, input.policy_digest, outcome));
  return job;
}

Result<void> Predict(Host& host, const JobInput& input, JobOutcome& outcome) {
  const Stopwatch watch(outcome.total_seconds);
  ASSIGN(const std::unique_ptr<PlannedJob> job, PlanAndReport(host, input, outcome, nullptr));
  for (size_t i = 0; i < job->volumes.size(); ++i) {
    VolumeRebase& volume = *job->volumes[i];
    ASSIGN(std::vector<FitFinding> found,
           OfGuest(FindFits(input.fit_rules, volume.our_changes(), volume.VolumeOf(Side::kOurs),
                            job->mount_points[i])));
    std::ranges::move(found, std::back_inserter(outcome.findings));
  }
  CollectFigures(*job, outcome);
  return CloseJob(host.loop(), *job);
}

// Everything that does not need the VM as it is at last.
Result<StagedJob> PlanAhead(Host& host, JobInput input, const std::optional<std::string>& snapshot,
                            JobOutcome& outcome) {
  const Stopwatch watch(outcome.total_seconds);
  StagedJob staged;
  if (!snapshot) return staged;
  input.snapshot = snapshot;
  ASSIGN(staged.job, PlanJob(host, input, nullptr));
  return staged;
}

Result<void> Build(Host& host, const JobInput& input, const BuildOptions& options,
                   JobOutcome& outcome) {
  ASSIGN(StagedJob staged, PlanAhead(host, input, options.staged, outcome));
  if (options.wait_for_vm) TRY(options.wait_for_vm());
  const Stopwatch watch(outcome.total_seconds);
  ASSIGN(const std::unique_ptr<PlannedJob> job,
         PlanAndReport(host, input, outcome, staged.job.get()));
  if (!outcome.blocked()) {
    if (staged.job) TRY(CompareWith(host.loop(), *job, staged));
    TRY(BuildDelta(host, *job, staged, options, outcome));
    TRY(SaveRescues(*job, options, outcome));
  }
  CollectFigures(*job, outcome);
  TRY(CloseJob(host.loop(), *job));
  return staged.job ? CloseJob(host.loop(), *staged.job) : Result<void>();
}

Result<void> Recheck(Host& host, const JobInput& input, const BuildOptions& places,
                     RecheckOutcome& outcome) {
  const Stopwatch watch(outcome.planned.total_seconds);
  ASSIGN(const std::unique_ptr<PlannedJob> job,
         PlanAndReport(host, input, outcome.planned, nullptr));
  OpenChainOptions open;
  open.parents = job->images.parents.get();
  ASSIGN(const std::unique_ptr<ImageChain> result,
         SyncWait(host.loop(), OpenChain(host, places.delta, open)));
  ASSIGN(outcome.planned.proof.after,
         SyncWait(host.loop(), FactsOfDelta(host, *result, places.delta)));
  VerifyOptions verify;
  verify.scratch_folder = places.work.string();
  for (const std::unique_ptr<VolumeRebase>& volume : job->volumes) {
    ASSIGN(const std::vector<std::string> found, OfGuest(volume->Recheck(*result, verify)));
    outcome.differences.insert(outcome.differences.end(), found.begin(), found.end());
  }
  TRY(VerifyCarried(*job, *result, outcome.differences));
  CollectFigures(*job, outcome.planned);
  TRY(SyncWait(host.loop(), result->Close()));
  return CloseJob(host.loop(), *job);
}

Result<void> PrepareVolumes(EventLoop& loop, RebaseImages& images) {
  ASSIGN(const std::vector<VolumePair> pairs, MatchMasters(loop, images));
  for (const VolumePair& pair : pairs) {
    ASSIGN(const std::unique_ptr<VolumePatch> patch, VolumePatch::Open(loop, images, pair));
    TRY(patch->Diff());
    TRY(patch->TargetIndex());
  }
  return {};
}

}  // namespace

Result<JobOutcome> PredictRebase(Host& host, const JobInput& input) {
  JobOutcome outcome;
  TRY(Predict(host, input, outcome));
  return outcome;
}

Result<JobOutcome> BuildRebase(Host& host, const JobInput& input, const BuildOptions& options) {
  JobOutcome outcome;
  TRY(Build(host, input, options, outcome));
  return outcome;
}

Result<RecheckOutcome> RecheckRebase(Host& host, const JobInput& input, const path& result,
                                     const path& scratch) {
  BuildOptions places;
  places.delta = result;
  places.work = scratch;
  RecheckOutcome outcome;
  TRY(Recheck(host, input, places, outcome));
  return outcome;
}

Result<void> PrepareMasters(Host& host, const path& base, const path& target,
                            const CacheFolders& folders) {
  EventLoop& loop = host.loop();
  ASSIGN(RebaseImages images, SyncWait(loop, OpenMasters(host, base, target)));
  images.caches = folders;
  TRY(PrepareVolumes(loop, images));
  return SyncWait(loop, CloseImages(images));
}

}  // namespace mica::rebase
