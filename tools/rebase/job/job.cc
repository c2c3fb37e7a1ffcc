// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/job.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>

#include "engine/async/sync_wait.h"
#include "engine/chain_difference.h"
#include "engine/jobs/drop_same.h"
#include "engine/snapshot_control.h"
#include "formats/open_chain.h"
#include "tools/guest/path.h"
#include "tools/rebase/job/guest_trees.h"
#include "tools/rebase/job/mount_points.h"
#include "tools/rebase/job/rescue.h"
#include "tools/rebase/job/stopwatch.h"
#include "tools/rebase/job/volume_bytes.h"
#include "tools/rebase/job/volume_patch.h"

namespace mica::rebase {

namespace {

using std::filesystem::path;

// The images of a rebase and what was planned for each volume.
struct PlannedJob {
  RebaseImages images;
  std::vector<std::unique_ptr<VolumeRebase>> volumes;
  std::vector<std::string> mount_points;  // of each, as MountTable has them
  std::vector<CarriedVolume> carried;
  std::vector<ReportEntry> layout_entries;
};

// A file system that cannot be read or written as asked is damaged; the command that asked for it
// was right.
template <class T>
Result<T> OfGuest(Result<T> result) {
  if (result || result.error().code != Errc::kInvalidArgument) return result;
  Error error = std::move(result).error();
  error.code = Errc::kCorrupt;
  return error;
}

VolumeRebase* FindVolume(const PlannedJob& job, const guest::VolumeId& id) {
  const auto found = std::ranges::find_if(
      job.volumes, [&](const auto& volume) { return volume->figures().id == id; });
  return found == job.volumes.end() ? nullptr : found->get();
}

// The volume with the root directory stands first: it has the accounts, whose new numbers the files
// of all volumes get.
// With `like`, a job for the same masters, what it knows of them is shared.
Result<void> PlanVolumes(EventLoop& loop, std::vector<VolumePair>& pairs, const JobInput& input,
                         PlannedJob& job, const PlannedJob* like) {
  if (pairs.empty()) return {};
  ASSIGN(const MountTable table, FindMountPoints(loop, *job.images.target, input.kernel));
  const auto is_root = [&](const VolumePair& pair) { return table.IsRoot(pair.target); };
  std::ranges::stable_partition(pairs, is_root);
  const bool root_is_planned = is_root(pairs.front());
  ASSIGN(const std::optional<GuestFacts> guest,
         OfGuest(ReadGuestFacts(loop, job.images, table, input.policy)));
  for (const VolumePair& pair : pairs) {
    const std::string mount_point = table.PathOf(pair.target, pair.id);
    const Policy here = input.policy.MountedAt(mount_point);
    PlanContext context{here, input.kernel, nullptr, nullptr, nullptr, {}};
    if (root_is_planned && !job.volumes.empty()) {
      context.renumbered = &job.volumes.front()->outcome().ids;
    }
    if (like != nullptr) context.like = FindVolume(*like, pair.id);
    if (guest && table.IsMounted(pair.target)) {
      context.guest = &*guest;
      context.mount_point = mount_point;
    }
    ASSIGN(std::unique_ptr<VolumeRebase> volume,
           OfGuest(VolumeRebase::Plan(loop, job.images, pair, context)));
    job.volumes.push_back(std::move(volume));
    job.mount_points.push_back(mount_point);
  }
  return {};
}

Result<std::unique_ptr<PlannedJob>> PlanJob(Host& host, const JobInput& input,
                                            const PlannedJob* like = nullptr) {
  EventLoop& loop = host.loop();
  auto job = std::make_unique<PlannedJob>();
  const DiskState state{input.vm, input.snapshot};
  ASSIGN(job->images, SyncWait(loop, OpenImages(host, state, input.target)));
  ASSIGN(job->images.touched_by_vm, SyncWait(loop, RangesAbove(*job->images.vm, 1)));
  ASSIGN(DiskLayout layout, MatchLayout(loop, job->images, input.kernel));
  job->layout_entries = std::move(layout.entries);
  TRY(PlanVolumes(loop, layout.volumes, input, *job, like));
  for (VolumePair& pair : layout.carried) {
    job->carried.emplace_back(loop, job->images, std::move(pair));
  }
  return job;
}

// What is mounted reads its image to the end.
Result<void> CloseJob(EventLoop& loop, PlannedJob& job) {
  job.volumes.clear();
  return SyncWait(loop, CloseImages(job.images));
}

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

// What the delta was built from, planned as it was then.
struct StagedJob {
  std::unique_ptr<PlannedJob> job;
  std::vector<ByteRange> changed;  // of the VM's disk since
};

// kMismatch when the delta holds volumes that the VM has not, or not as it had them.
Result<void> CheckVolumes(const PlannedJob& then, const PlannedJob& now) {
  const auto is_carried = [&](const CarriedVolume& volume) {
    return std::ranges::any_of(
        now.carried, [&](const CarriedVolume& other) { return other.id() == volume.id(); });
  };
  const auto is_merged = [&](const std::unique_ptr<VolumeRebase>& volume) {
    return FindVolume(now, volume->figures().id) != nullptr;
  };
  if (std::ranges::all_of(then.carried, is_carried) && std::ranges::all_of(then.volumes, is_merged))
    return {};
  return Error{Errc::kMismatch, "the VM has other volumes now"};
}

// What the VM's delta has and the staged state's has not was written since, and the other way round
// there is nothing.
Result<StagedJob> PlanStaged(Host& host, JobInput input, const std::string& snapshot,
                             PlannedJob& now) {
  input.snapshot = snapshot;
  StagedJob staged;
  ASSIGN(staged.job, PlanJob(host, input, &now));
  TRY(CheckVolumes(*staged.job, now));
  const SnapshotControl* const then = staged.job->images.vm->layer(0).controls().snapshots;
  SnapshotControl* const epochs = now.images.vm->layer(0).controls().snapshots;
  if (then == nullptr || epochs == nullptr) {
    return Error{Errc::kMismatch, "the VM's format does not know what has changed since"};
  }
  const ByteRange disk{0, now.images.vm->info().size};
  ASSIGN(staged.changed, SyncWait(host.loop(), epochs->ChangedSince(then->Epoch(), disk)));
  return staged;
}

Result<void> ApplyVolumes(PlannedJob& job, const StagedJob& staged,
                          const guest::ApplyOptions& options, ImageChain& result) {
  for (const std::unique_ptr<VolumeRebase>& volume : job.volumes) {
    VolumeRebase* earlier = nullptr;
    if (staged.job) earlier = FindVolume(*staged.job, volume->figures().id);
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

// Of the volumes that are taken over as they are.
Result<void> VerifyCarried(PlannedJob& job, ImageChain& result, std::vector<std::string>& wrong) {
  for (CarriedVolume& volume : job.carried) {
    ASSIGN(const std::vector<std::string> found, volume.Verify(result));
    wrong.insert(wrong.end(), found.begin(), found.end());
  }
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

// Writes all volumes onto the new delta and proves them.
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
                                                  JobOutcome& outcome) {
  ASSIGN(std::unique_ptr<PlannedJob> job, PlanJob(host, input));
  CollectReports(*job, outcome);
  TRY(CollectProof(host, *job, input.policy_digest, outcome));
  return job;
}

Result<void> Predict(Host& host, const JobInput& input, JobOutcome& outcome) {
  const Stopwatch watch(outcome.total_seconds);
  ASSIGN(const std::unique_ptr<PlannedJob> job, PlanAndReport(host, input, outcome));
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

Result<void> Build(Host& host, const JobInput& input, const BuildOptions& options,
                   JobOutcome& outcome) {
  const Stopwatch watch(outcome.total_seconds);
  ASSIGN(const std::unique_ptr<PlannedJob> job, PlanAndReport(host, input, outcome));
  if (!outcome.blocked()) {
    StagedJob staged;
    if (options.staged) {
      ASSIGN(staged, PlanStaged(host, input, *options.staged, *job));
    }
    TRY(BuildDelta(host, *job, staged, options, outcome));
    if (staged.job) TRY(CloseJob(host.loop(), *staged.job));
    TRY(SaveRescues(*job, options, outcome));
  }
  CollectFigures(*job, outcome);
  return CloseJob(host.loop(), *job);
}

Result<void> Recheck(Host& host, const JobInput& input, const BuildOptions& places,
                     RecheckOutcome& outcome) {
  const Stopwatch watch(outcome.planned.total_seconds);
  ASSIGN(const std::unique_ptr<PlannedJob> job, PlanAndReport(host, input, outcome.planned));
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
