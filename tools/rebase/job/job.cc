// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/job.h"

#include <fmt/format.h>

#include "engine/async/sync_wait.h"
#include "engine/chain_difference.h"
#include "engine/jobs/drop_same.h"
#include "formats/open_chain.h"
#include "tools/rebase/job/generations.h"
#include "tools/rebase/job/rescue.h"
#include "tools/rebase/job/stopwatch.h"

namespace mica::rebase {

namespace {

using std::filesystem::path;

path WithSuffix(path file, std::string_view suffix) {
  file += suffix;
  return file;
}

path DirectoryOf(const path& file) {
  return file.has_parent_path() ? file.parent_path() : path(".");
}

// The images of a rebase and what was planned for each volume.
struct PlannedJob {
  RebaseImages images;
  std::vector<std::unique_ptr<VolumeRebase>> volumes;
  std::vector<ReportEntry> layout_entries;
};

Result<std::unique_ptr<PlannedJob>> PlanJob(Host& host, const JobInput& input) {
  EventLoop& loop = host.loop();
  auto job = std::make_unique<PlannedJob>();
  ASSIGN(job->images, SyncWait(loop, OpenImages(host, input.vm, input.target)));
  ASSIGN(DiskLayout layout, MatchLayout(loop, job->images));
  job->layout_entries = std::move(layout.entries);
  std::vector<ByteRange> masters_differ;
  if (!layout.volumes.empty()) {
    ASSIGN(masters_differ, SyncWait(loop, DifferingRanges(*job->images.base, *job->images.target)));
  }
  for (const VolumePair& pair : layout.volumes) {
    ASSIGN(std::unique_ptr<VolumeRebase> volume,
           VolumeRebase::Plan(loop, job->images, pair, masters_differ, input.policy));
    job->volumes.push_back(std::move(volume));
  }
  return job;
}

// Entries that speak of rescued files count them per volume; here they count on.
void CollectReports(PlannedJob& job, JobOutcome& outcome) {
  for (ReportEntry& entry : job.layout_entries) outcome.report.Add(std::move(entry));
  size_t rescues_before = 0;
  for (const std::unique_ptr<VolumeRebase>& volume : job.volumes) {
    const PlanOutcome& planned = volume->outcome();
    for (ReportEntry entry : planned.report.entries()) {
      if (entry.rescue) *entry.rescue += rescues_before;
      outcome.report.Add(std::move(entry));
    }
    rescues_before += planned.rescues.size();
    outcome.regenerate.insert(outcome.regenerate.end(), planned.regenerate.begin(),
                              planned.regenerate.end());
  }
}

void CollectFigures(const PlannedJob& job, JobOutcome& outcome) {
  outcome.volumes.clear();
  for (const std::unique_ptr<VolumeRebase>& volume : job.volumes) {
    outcome.volumes.push_back(volume->figures());
  }
}

// What an interrupted rebase left goes; one that is still running is left alone.
Result<void> ClearLeftover(Host& host, const path& temporary) {
  OpenOptions options;
  options.writable = true;
  options.lock = FileLock::kExclusive;
  auto leftover = SyncWait(host.loop(), host.Open(temporary, options));
  if (!leftover && leftover.error().code == Errc::kNotFound) return {};
  if (!leftover) {
    Error error = std::move(leftover).error();
    if (error.code != Errc::kBusy) return error;
    return std::move(error).WithContext("another rebase of this VM is running");
  }
  leftover->reset();
  return SyncWait(host.loop(), host.Remove(temporary));
}

// Writes all volumes onto the new delta, without what the target has as well.
Result<void> ApplyAll(EventLoop& loop, PlannedJob& job, const JobOptions& options,
                      ImageChain& result) {
  guest::ApplyOptions apply;
  apply.now.seconds = ::time(nullptr);
  apply.progress = options.progress;
  for (const std::unique_ptr<VolumeRebase>& volume : job.volumes) {
    TRY(volume->Apply(result, apply));
  }
  const ChainJobOptions quiet;
  TRY(SyncWait(loop, DropSameAsParent(result, *job.images.target, quiet)));
  return {};
}

// What is not as it was planned.
Result<std::vector<std::string>> VerifyAll(PlannedJob& job, const JobOptions& options,
                                           ImageChain& result) {
  std::vector<std::string> discrepancies;
  for (const std::unique_ptr<VolumeRebase>& volume : job.volumes) {
    ASSIGN(const std::vector<std::string> found, volume->Verify(result, options.check));
    discrepancies.insert(discrepancies.end(), found.begin(), found.end());
  }
  return discrepancies;
}

// Writes all volumes onto a new delta at `temporary` and proves them.
Result<void> BuildDelta(Host& host, PlannedJob& job, const JobOptions& options,
                        const path& temporary) {
  EventLoop& loop = host.loop();
  TRY(SyncWait(loop, CreateDelta(host, job.images, temporary)));
  OpenChainOptions open;
  open.writable = true;
  open.format = "mica";
  open.parents = job.images.parents.get();
  ASSIGN(const std::unique_ptr<ImageChain> result,
         SyncWait(loop, OpenChain(host, temporary, open)));
  const Result<void> applied = ApplyAll(loop, job, options, *result);
  Result<std::vector<std::string>> discrepancies = std::vector<std::string>();
  if (applied) discrepancies = VerifyAll(job, options, *result);
  const Result<void> closed = SyncWait(loop, result->Close());
  TRY(applied);
  TRY(discrepancies);
  TRY(closed);
  if (discrepancies->empty()) return {};
  return Error{
      Errc::kCorrupt,
      fmt::format("{}: the rebased disk is not what was planned, so it was thrown away and "
                  "the VM is as it was. Found: {}",
                  job.images.vm_path.string(), fmt::join(*discrepancies, "; "))};
}

// Gives the finished delta its place.
Result<void> Publish(Host& host, const JobInput& input, const JobOptions& options,
                     const path& temporary, JobOutcome& outcome) {
  EventLoop& loop = host.loop();
  outcome.quarantined = outcome.report.Highest() >= Severity::kError;
  if (options.output || outcome.quarantined) {
    outcome.delta = options.output ? *options.output : WithSuffix(input.vm, ".quarantine");
    TRY(SyncWait(loop, host.Rename(temporary, outcome.delta)));
    return SyncWait(loop, host.SyncDirectory(DirectoryOf(outcome.delta)));
  }
  outcome.delta = input.vm;
  ASSIGN(outcome.kept, SyncWait(loop, SwitchTo(host, input.vm, temporary)));
  return {};
}

Result<void> SaveRescues(PlannedJob& job, const path& directory, JobOutcome& outcome) {
  for (const std::unique_ptr<VolumeRebase>& volume : job.volumes) {
    for (const RescueItem& item : volume->outcome().rescues) {
      ASSIGN(RescuedFile saved,
             SaveRescue(volume->VolumeOf(item.side), item, directory, outcome.rescued.size() + 1));
      outcome.rescued.push_back(std::move(saved));
    }
  }
  return {};
}

Result<void> Predict(Host& host, const JobInput& input, JobOutcome& outcome) {
  const Stopwatch watch(outcome.total_seconds);
  ASSIGN(const std::unique_ptr<PlannedJob> job, PlanJob(host, input));
  CollectReports(*job, outcome);
  CollectFigures(*job, outcome);
  return SyncWait(host.loop(), CloseImages(job->images));
}

Result<void> CheckOutputIsNew(Host& host, const path& output) {
  const Result<FileStat> there = SyncWait(host.loop(), host.Stat(output));
  if (!there) return {};
  return Error{Errc::kExists, fmt::format("{}: expected a new name for the rebased delta, found "
                                          "a file; remove it or choose another",
                                          output.string())};
}

Result<void> Rebase(Host& host, const JobInput& input, const JobOptions& options,
                    JobOutcome& outcome) {
  const Stopwatch watch(outcome.total_seconds);
  const path destination = options.output.value_or(input.vm);
  const path temporary = WithSuffix(destination, ".rebasing");
  if (options.output) TRY(CheckOutputIsNew(host, *options.output));
  ASSIGN(const std::unique_ptr<PlannedJob> job, PlanJob(host, input));
  CollectReports(*job, outcome);
  if (outcome.report.Highest() != Severity::kBlock) {
    TRY(ClearLeftover(host, temporary));
    Result<void> built = BuildDelta(host, *job, options, temporary);
    if (built) built = SaveRescues(*job, WithSuffix(destination, ".rescue"), outcome);
    if (built) built = Publish(host, input, options, temporary, outcome);
    if (!built) {
      const Result<void> removed = SyncWait(host.loop(), host.Remove(temporary));
      static_cast<void>(removed);  // the first error is the one to report
      return built;
    }
  }
  CollectFigures(*job, outcome);
  return SyncWait(host.loop(), CloseImages(job->images));
}

}  // namespace

Result<JobOutcome> PredictRebase(Host& host, const JobInput& input) {
  JobOutcome outcome;
  TRY(Predict(host, input, outcome));
  return outcome;
}

Result<JobOutcome> RunRebase(Host& host, const JobInput& input, const JobOptions& options) {
  JobOutcome outcome;
  TRY(Rebase(host, input, options, outcome));
  return outcome;
}

Result<RollbackOutcome> RunRollback(Host& host, const path& vm) {
  EventLoop& loop = host.loop();
  ASSIGN(const path backup, SyncWait(loop, LastBackup(host, vm)));
  // Both are opened: the current one to be sure that nobody uses it, the kept one to be sure that
  // it is whole and its old master is still there. The locks are held until the names have changed.
  OpenChainOptions open;
  ASSIGN(const std::unique_ptr<ImageChain> current, SyncWait(loop, OpenChain(host, vm, open)));
  ASSIGN(const std::unique_ptr<ImageChain> kept, SyncWait(loop, OpenChain(host, backup, open)));
  ASSIGN(const RolledBack names, SyncWait(loop, RollBack(host, vm)));
  TRY(SyncWait(loop, current->Close()));
  TRY(SyncWait(loop, kept->Close()));
  return RollbackOutcome{names.restored_from, names.undone};
}

}  // namespace mica::rebase
