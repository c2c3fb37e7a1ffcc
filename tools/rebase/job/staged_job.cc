// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/staged_job.h"

#include <algorithm>

#include "engine/async/sync_wait.h"
#include "engine/snapshot_control.h"

namespace mica::rebase {

namespace {

// kMismatch when the delta holds volumes that the VM has not, or not as it had them.
Result<void> CheckVolumes(const PlannedJob& then, const PlannedJob& now) {
  const auto is_carried = [&](const CarriedVolume& volume) {
    return std::ranges::any_of(
        now.carried, [&](const CarriedVolume& other) { return other.id() == volume.id(); });
  };
  const auto is_merged = [&](const std::unique_ptr<VolumeRebase>& volume) {
    return now.Find(volume->figures().id) != nullptr;
  };
  if (std::ranges::all_of(then.carried, is_carried) && std::ranges::all_of(then.volumes, is_merged))
    return {};
  return Error{Errc::kMismatch, "the VM has other volumes now"};
}

}  // namespace

// What the VM's delta has and the staged state's has not was written since, and the other way round
// there is nothing.
Result<void> CompareWith(EventLoop& loop, PlannedJob& now, StagedJob& staged) {
  TRY(CheckVolumes(*staged.job, now));
  const SnapshotControl* const then = staged.job->images.vm->layer(0).controls().snapshots;
  SnapshotControl* const epochs = now.images.vm->layer(0).controls().snapshots;
  if (then == nullptr || epochs == nullptr) {
    return Error{Errc::kMismatch, "the VM's format does not know what has changed since"};
  }
  const ByteRange disk{0, now.images.vm->info().size};
  ASSIGN(staged.changed, SyncWait(loop, epochs->ChangedSince(then->Epoch(), disk)));
  return {};
}

}  // namespace mica::rebase
