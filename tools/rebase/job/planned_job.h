// SPDX-License-Identifier: Apache-2.0
// The rebase of all volumes of one VM, planned: its images stay open.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/io/host.h"
#include "tools/rebase/job/images.h"
#include "tools/rebase/job/job.h"
#include "tools/rebase/job/volume_bytes.h"
#include "tools/rebase/job/volume_rebase.h"
#include "tools/rebase/report.h"

namespace mica::rebase {

struct PlannedJob {
  RebaseImages images;
  std::vector<std::unique_ptr<VolumeRebase>> volumes;
  std::vector<std::string> mount_points;  // of each, as MountTable has them
  std::vector<CarriedVolume> carried;
  std::vector<ReportEntry> layout_entries;

  // Null when it is not among those that are merged.
  [[nodiscard]] VolumeRebase* Find(const guest::VolumeId& id) const;
};

// With `like`, a job for the same target, what it knows of the masters is shared; it outlives the
// new one. kMismatch when its old master is another.
Result<std::unique_ptr<PlannedJob>> PlanJob(Host& host, const JobInput& input,
                                            const PlannedJob* like);

// What is mounted reads its image to the end.
Result<void> CloseJob(EventLoop& loop, PlannedJob& job);

// A file system that cannot be read or written as asked is damaged; the command that asked for it
// was right.
template <class T>
Result<T> OfGuest(Result<T> result) {
  if (result || result.error().code != Errc::kInvalidArgument) return result;
  Error error = std::move(result).error();
  error.code = Errc::kCorrupt;
  return error;
}

}  // namespace mica::rebase
