// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/volume_rebase.h"

#include <fmt/format.h>

#include "engine/chain_difference.h"
#include "tools/guest/plan_lookup.h"
#include "tools/guest/text.h"
#include "tools/rebase/job/ext4_files.h"
#include "tools/rebase/job/mounted_files.h"
#include "tools/rebase/job/stopwatch.h"

namespace mica::rebase {

guest::Volume& VolumeRebase::VolumeOf(Side side) {
  return side == Side::kOurs ? files_->ours() : files_->target();
}

Result<void> VolumeRebase::OpenVolumes(const PlanContext& context) {
  const Stopwatch watch(figures_.open_seconds);
  if (pair_.kind == guest::VolumeKind::kExt) {
    const std::shared_ptr<VolumePatch> known =
        context.like == nullptr ? nullptr : context.like->files_->patch();
    ASSIGN(files_, Ext4Files::Open(loop_, images_, pair_, known));
  } else {
    ASSIGN(files_, MountedFiles::Open(*context.kernel.mounter, images_, pair_));
  }
  return {};
}

Result<void> VolumeRebase::DiffOurs() {
  const Stopwatch watch(figures_.our_diff_seconds);
  ASSIGN(our_diff_, files_->DiffOurs());
  figures_.our_method = our_diff_.method;
  figures_.our_changes = our_diff_.changes.objects.size();
  return {};
}

Result<void> VolumeRebase::DiffTheirs() {
  const Stopwatch watch(figures_.their_diff_seconds);
  ASSIGN(their_diff_, files_->DiffTheirs());
  figures_.their_method = their_diff_->method;
  figures_.their_changes = their_diff_->changes.objects.size();
  return {};
}

Result<std::unique_ptr<VolumeRebase>> VolumeRebase::Plan(EventLoop& loop, RebaseImages& images,
                                                         const VolumePair& pair,
                                                         const PlanContext& context) {
  std::unique_ptr<VolumeRebase> rebase(new VolumeRebase(loop, images, pair));
  TRY(rebase->OpenVolumes(context));
  TRY(rebase->DiffOurs());
  TRY(rebase->DiffTheirs());
  const Stopwatch watch(rebase->figures_.plan_seconds);
  const PlanInput input{rebase->our_diff_.changes,
                        rebase->their_diff_->changes,
                        rebase->files_->base(),
                        rebase->files_->ours(),
                        rebase->files_->target(),
                        *rebase->their_diff_->lineage,
                        context.policy,
                        context.renumbered,
                        context.guest,
                        context.mount_point};
  ASSIGN(rebase->outcome_, MakePlan(input));
  return rebase;
}

Result<void> VolumeRebase::Apply(ImageChain& result, const guest::ApplyOptions& options) {
  const Stopwatch watch(figures_.apply_seconds);
  ASSIGN(applied_, files_->Apply(result, outcome_.plan, options));
  return {};
}

Result<void> VolumeRebase::CatchUp(ImageChain& result, const VolumeRebase& earlier,
                                   const std::vector<ByteRange>& changed,
                                   const guest::ApplyOptions& options) {
  const Stopwatch watch(figures_.apply_seconds);
  const EarlierFiles then{*earlier.files_, earlier.outcome_.plan,
                          RangesWithin(changed, pair_.base)};
  ASSIGN(guest::CaughtUp caught_up, files_->CatchUp(result, then, outcome_.plan, options));
  applied_ = std::move(caught_up.applied);
  figures_.steps = caught_up.steps;
  return {};
}

Result<std::vector<std::string>> VolumeRebase::Verify(ImageChain& result,
                                                      const VerifyOptions& options) {
  std::vector<std::string> wrong;
  {
    const Stopwatch watch(figures_.verify_seconds);
    ASSIGN(const std::unique_ptr<ResultFiles> made, files_->OpenResult(result));
    ASSIGN(const std::vector<guest::Discrepancy> found, made->CompareWith(outcome_.plan, applied_));
    for (const guest::Discrepancy& discrepancy : found) {
      wrong.push_back(fmt::format("{}: {}", discrepancy.path, discrepancy.what));
    }
  }
  if (options.check == FileSystemCheck::kSkip) return wrong;
  const Stopwatch watch(figures_.check_seconds);
  ASSIGN(const std::optional<std::string> damage, files_->Check(result, options.scratch_folder));
  if (damage) wrong.push_back(*damage);
  return wrong;
}

Result<std::vector<std::string>> VolumeRebase::Recheck(ImageChain& result,
                                                       const VerifyOptions& options) {
  std::vector<std::string> missing;
  {
    ASSIGN(const std::unique_ptr<ResultFiles> made, files_->OpenResult(result));
    ASSIGN(applied_.inodes, guest::FindPlanned(outcome_.plan, made->volume()));
  }
  for (size_t i = 0; i < applied_.inodes.size(); ++i) {
    const std::vector<guest::PlannedName>& names = outcome_.plan.objects[i].names;
    if (applied_.inodes[i] != 0 || names.empty()) continue;
    missing.push_back(fmt::format("{}: is not there", guest::DisplayText(names.front().leaf)));
  }
  ASSIGN(const std::vector<std::string> wrong, Verify(result, options));
  missing.insert(missing.end(), wrong.begin(), wrong.end());
  return missing;
}

}  // namespace mica::rebase
