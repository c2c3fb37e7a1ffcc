// SPDX-License-Identifier: Apache-2.0
// The applier: carries out a plan on the new master (through an empty delta over it), taking
// content from the VM's volume. It finds the order: what moves goes through a staging directory, so
// that names may swap or form cycles; deletions go deepest first, creations parents first;
// attributes last.
#pragma once

#include <atomic>
#include <functional>
#include <vector>

#include "engine/base/result.h"
#include "tools/guest/name_source.h"
#include "tools/guest/plan.h"
#include "tools/guest/volume.h"
#include "tools/guest/volume_writer.h"

namespace mica::guest {

// The volume that a plan is carried out on. All borrowed for the time of the call.
struct ApplyTarget {
  Volume& volume;
  VolumeWriter& writer;     // of it; what is written is seen by `volume`
  const NameSource& names;  // of `volume` as it is before
};

struct ApplyProgress {
  uint64_t objects_done = 0;
  uint64_t objects_total = 0;
  uint64_t bytes_done = 0;  // content
  uint64_t bytes_total = 0;
};

struct ApplyOptions {
  // ctime of what changes, crtime of what is made, and mtime of directories that gain or lose
  // names without being in the plan.
  Timestamp now;
  uint32_t generation_seed = 1;
  std::function<void(const ApplyProgress&)> progress;  // may be empty
  const std::atomic<bool>* cancelled = nullptr;        // may be null; set from any thread
};

struct ApplyResult {
  // For each planned object its inode in the result; 0: deleted.
  std::vector<uint64_t> inodes;
  uint64_t bytes_written = 0;  // content
};

// On success the caller closes the volume. On any error the target is half changed and its delta
// must be thrown away: kNoSpace when the guest file system is full, kCancelled, kInvalidArgument
// for a plan that contradicts itself or the target, errors of the volumes as they come.
Result<ApplyResult> ApplyPlanTo(const ApplyTarget& target, const Plan& plan, Volume& ours,
                                const ApplyOptions& options);

}  // namespace mica::guest
