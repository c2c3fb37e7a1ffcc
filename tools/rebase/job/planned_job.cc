// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/planned_job.h"

#include <algorithm>

#include "engine/async/sync_wait.h"
#include "engine/chain_difference.h"
#include "tools/rebase/job/guest_trees.h"
#include "tools/rebase/job/layout.h"
#include "tools/rebase/job/mount_points.h"

namespace mica::rebase {

namespace {

// The volume with the root directory stands first: it has the accounts, whose new numbers the files
// of all volumes get.
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
    if (like != nullptr) context.like = like->Find(pair.id);
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

Result<void> CheckSameBase(const PlannedJob& like, const PlannedJob& job) {
  const auto identity_of = [](const PlannedJob& of) {
    return of.images.base->layer(0).info().identity;
  };
  if (identity_of(like) == identity_of(job)) return {};
  return Error{Errc::kMismatch, "the VM has another master now"};
}

}  // namespace

VolumeRebase* PlannedJob::Find(const guest::VolumeId& id) const {
  const auto found =
      std::ranges::find_if(volumes, [&](const auto& volume) { return volume->figures().id == id; });
  return found == volumes.end() ? nullptr : found->get();
}

Result<std::unique_ptr<PlannedJob>> PlanJob(Host& host, const JobInput& input,
                                            const PlannedJob* like) {
  EventLoop& loop = host.loop();
  auto job = std::make_unique<PlannedJob>();
  const DiskState state{input.vm, input.snapshot};
  ASSIGN(job->images, SyncWait(loop, OpenImages(host, state, input.target)));
  if (like != nullptr) TRY(CheckSameBase(*like, *job));
  ASSIGN(job->images.touched_by_vm, SyncWait(loop, RangesAbove(*job->images.vm, 1)));
  ASSIGN(DiskLayout layout, MatchLayout(loop, job->images, input.kernel));
  job->layout_entries = std::move(layout.entries);
  TRY(PlanVolumes(loop, layout.volumes, input, *job, like));
  for (VolumePair& pair : layout.carried) {
    job->carried.emplace_back(loop, job->images, std::move(pair));
  }
  return job;
}

Result<void> CloseJob(EventLoop& loop, PlannedJob& job) {
  job.volumes.clear();
  return SyncWait(loop, CloseImages(job.images));
}

}  // namespace mica::rebase
