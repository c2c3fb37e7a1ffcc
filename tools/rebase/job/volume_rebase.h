// SPDX-License-Identifier: Apache-2.0
// The rebase of one volume: diff both sides against the old master, plan, and, when asked, write
// the result onto a delta over the new master and prove it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tools/guest/apply.h"
#include "tools/rebase/job/images.h"
#include "tools/rebase/job/kernel_volumes.h"
#include "tools/rebase/job/layout.h"
#include "tools/rebase/job/volume_diff.h"
#include "tools/rebase/job/volume_files.h"
#include "tools/rebase/planner.h"

namespace mica::rebase {

class VolumeRebase;

// How the files of a volume are looked at. All borrowed for the time of the call.
struct PlanContext {
  const Policy& policy;
  const KernelVolumes& kernel;
  const IdMap* renumbered = nullptr;  // PlanInput has it
  // Of the same volume, from the same masters to another state of the VM: what it knows of the
  // masters is shared. May be null; else it outlives the new one.
  const VolumeRebase* like = nullptr;
  const GuestFacts* guest = nullptr;  // PlanInput has these
  std::string mount_point;
};

enum class FileSystemCheck : uint8_t { kRun, kSkip };

struct VerifyOptions {
  FileSystemCheck check = FileSystemCheck::kRun;
  std::string scratch_folder;  // of the checker; empty: the system's
};

struct VolumeFigures {
  guest::VolumeId id;
  DiffMethod our_method = DiffMethod::kDeltaBounded;
  DiffMethod their_method = DiffMethod::kDeltaBounded;
  size_t our_changes = 0;       // objects
  size_t their_changes = 0;     // objects
  std::optional<size_t> steps;  // of a catch-up: objects that were still to be changed
  double open_seconds = 0;      // opening, journals, index of the old master
  double our_diff_seconds = 0;
  double their_diff_seconds = 0;
  double plan_seconds = 0;
  double apply_seconds = 0;
  double verify_seconds = 0;  // re-diff
  double check_seconds = 0;   // file system check
};

class VolumeRebase {
 public:
  // Diffs and plans; writes nothing but the caches that images ask for. Borrows loop and images.
  // Errors of Ext4Files::Open and MountedFiles::Open.
  static Result<std::unique_ptr<VolumeRebase>> Plan(EventLoop& loop, RebaseImages& images,
                                                    const VolumePair& pair,
                                                    const PlanContext& context);

  [[nodiscard]] PlanOutcome& outcome() noexcept { return outcome_; }
  [[nodiscard]] const guest::ChangeSet& our_changes() const noexcept { return our_diff_.changes; }
  [[nodiscard]] const VolumeFigures& figures() const noexcept { return figures_; }
  // The volume that a rescue item's inode is in.
  [[nodiscard]] guest::Volume& VolumeOf(Side side);

  // Carries the plan out on `result`, a chain whose head is an empty delta over the new master.
  // After an error the delta must be thrown away.
  Result<void> Apply(ImageChain& result, const guest::ApplyOptions& options);

  // The same where `earlier`, planned for an earlier state of the VM, was carried out on `result`:
  // does only what the two say differently. `changed`: bytes of the VM's disk outside of which it
  // is as it was. kMismatch when that is not possible; the delta must be thrown away then as well.
  Result<void> CatchUp(ImageChain& result, const VolumeRebase& earlier,
                       const std::vector<ByteRange>& changed, const guest::ApplyOptions& options);

  // What of the result is not as planned, one line each: a second diff against the plan, then the
  // file system check. Empty: proven.
  Result<std::vector<std::string>> Verify(ImageChain& result, const VerifyOptions& options);
  // The same of a result that an earlier process made.
  Result<std::vector<std::string>> Recheck(ImageChain& result, const VerifyOptions& options);

 private:
  VolumeRebase(EventLoop& loop, RebaseImages& images, const VolumePair& pair)
      : loop_(loop), images_(images), pair_(pair) {
    figures_.id = pair.id;
  }

  Result<void> OpenVolumes(const PlanContext& context);
  Result<void> DiffOurs();
  Result<void> DiffTheirs();

  EventLoop& loop_;
  RebaseImages& images_;
  VolumePair pair_;
  VolumeFigures figures_;
  std::unique_ptr<VolumeFiles> files_;
  VolumeDiff our_diff_;
  const VolumeDiff* their_diff_ = nullptr;
  PlanOutcome outcome_;
  guest::ApplyResult applied_;
};

}  // namespace mica::rebase
