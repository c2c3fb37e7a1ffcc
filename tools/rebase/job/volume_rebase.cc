// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/volume_rebase.h"

#include <fmt/format.h>

#include "engine/async/sync_wait.h"
#include "engine/chain_difference.h"
#include "engine/filters/pieces_device.h"
#include "tools/guest/ext4/apply_buffer.h"
#include "tools/guest/ext4/catch_up.h"
#include "tools/guest/ext4/check.h"
#include "tools/guest/ext4/verify.h"
#include "tools/guest/ext4/writer.h"
#include "tools/guest/plan_lookup.h"
#include "tools/guest/text.h"
#include "tools/rebase/job/stopwatch.h"

namespace mica::rebase {

namespace {

Result<std::unique_ptr<guest::Ext4View>> OpenView(EventLoop& loop, ImageChain& chain,
                                                  const std::vector<ByteRange>& pieces,
                                                  const std::string& what) {
  Result<std::unique_ptr<guest::Ext4View>> view = guest::Ext4View::Open(loop, chain, pieces);
  if (!view) return std::move(view).error().WithContext(what);
  return view;
}

}  // namespace

guest::Volume& VolumeRebase::VolumeOf(Side side) {
  return side == Side::kOurs ? ours_->volume() : patch_->target().volume();
}

Result<void> VolumeRebase::OpenVolumes(const PlanContext& context) {
  const Stopwatch watch(figures_.open_seconds);
  patch_ = context.patch;
  if (patch_ == nullptr) {
    ASSIGN(patch_, VolumePatch::Open(loop_, images_, pair_));
  }
  ASSIGN(ours_, OpenView(loop_, *images_.vm, pair_.base, images_.vm_path.string()));
  return {};
}

Result<void> VolumeRebase::DiffOurs() {
  const Stopwatch watch(figures_.our_diff_seconds);
  VolumeDiffer differ(patch_->base(), patch_->base_index());
  ASSIGN(our_diff_, differ.To(*ours_, pair_.touched));
  figures_.our_method = our_diff_.method;
  figures_.our_changes = our_diff_.changes.objects.size();
  return {};
}

Result<void> VolumeRebase::DiffTheirs() {
  const Stopwatch watch(figures_.their_diff_seconds);
  ASSIGN(their_diff_, patch_->Diff());
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
                        rebase->patch_->base().volume(),
                        rebase->ours_->volume(),
                        rebase->patch_->target().volume(),
                        *rebase->their_diff_->lineage,
                        context.policy,
                        context.renumbered};
  ASSIGN(rebase->outcome_, MakePlan(input));
  return rebase;
}

Result<guest::ApplyResult> VolumeRebase::ChangeResult(ImageChain& result, const Change& change) {
  PiecesDevice volume_device(result, pair_.target);
  guest::ApplyBuffer buffer(volume_device);  // Close flushes it
  guest::SyncDevice device(loop_, buffer);
  guest::Ext4Options writable;
  writable.access = guest::Ext4Access::kReadWrite;
  ASSIGN(const std::unique_ptr<guest::Ext4Volume> volume,
         guest::Ext4Volume::Open(device, writable));
  ASSIGN(guest::ApplyResult applied, change(*volume));
  TRY(volume->Close());
  return applied;
}

Result<void> VolumeRebase::Apply(ImageChain& result, const guest::ApplyOptions& options) {
  const Stopwatch watch(figures_.apply_seconds);
  ASSIGN(const guest::Ext4Index* const target_index, patch_->TargetIndex());
  const Change all = [&](guest::Ext4Volume& volume) {
    return guest::ApplyPlan({outcome_.plan, volume, *target_index, ours_->volume()}, options);
  };
  ASSIGN(applied_, ChangeResult(result, all));
  return {};
}

Result<void> VolumeRebase::CatchUp(ImageChain& result, VolumeRebase& earlier,
                                   const std::vector<ByteRange>& changed,
                                   const guest::ApplyOptions& options) {
  const Stopwatch watch(figures_.apply_seconds);
  ASSIGN(const guest::Ext4Index* const target_index, patch_->TargetIndex());
  std::vector<ByteRange> written = RangesWithin(changed, pair_.base);
  for (const guest::Ext4View* view : {earlier.ours_.get(), ours_.get()}) {
    written.insert(written.end(), view->replayed().begin(), view->replayed().end());
  }
  guest::ContentSince content(earlier.ours_->volume(), ours_->volume(), written);
  guest::CatchUp catch_up;
  const Change missing = [&](guest::Ext4Volume& volume) -> Result<guest::ApplyResult> {
    ASSIGN(const std::vector<uint64_t> inodes, guest::FindPlanned(earlier.outcome_.plan, volume));
    const guest::CarriedOut carried{earlier.outcome_.plan, inodes};
    const guest::CatchUpTarget target{patch_->target().volume(), *target_index};
    ASSIGN(catch_up, guest::PlanCatchUp(carried, outcome_.plan, target,
                                        [&](uint64_t inode) { return content.Of(inode); }));
    const guest::NamesAfter names(carried, *target_index);
    guest::Ext4Writer writer(volume, {options.now, options.generation_seed});
    return guest::ApplyPlanTo({volume, writer, names}, catch_up.plan, ours_->volume(), options);
  };
  ASSIGN(const guest::ApplyResult applied, ChangeResult(result, missing));
  applied_.bytes_written = applied.bytes_written;
  for (const guest::CatchUp::Object& object : catch_up.objects) {
    applied_.inodes.push_back(object.step ? applied.inodes.at(*object.step) : object.inode);
  }
  figures_.steps = catch_up.plan.objects.size();
  return {};
}

Result<std::vector<std::string>> VolumeRebase::Verify(ImageChain& result,
                                                      const VerifyOptions& options) {
  std::vector<std::string> wrong;
  {
    const Stopwatch watch(figures_.verify_seconds);
    ASSIGN(const std::vector<ByteRange> written, SyncWait(loop_, RangesAbove(result, 1)));
    ASSIGN(const std::unique_ptr<guest::Ext4View> view,
           OpenView(loop_, result, pair_.target, "the result"));
    std::vector<ByteRange> touched = RangesWithin(written, pair_.target);
    // Of a guest that has run since and was not shut down cleanly.
    touched.insert(touched.end(), view->replayed().begin(), view->replayed().end());
    ASSIGN(const guest::Ext4Index* const target_index, patch_->TargetIndex());
    const guest::VerifyInput input{
        outcome_.plan,  applied_,       patch_->target().volume(),
        *target_index,  view->volume(), RangesWithin(written, pair_.target),
        ours_->volume()};
    ASSIGN(const std::vector<guest::Discrepancy> found, guest::VerifyResult(input));
    for (const guest::Discrepancy& discrepancy : found) {
      wrong.push_back(fmt::format("{}: {}", discrepancy.path, discrepancy.what));
    }
  }
  if (options.check == FileSystemCheck::kSkip) return wrong;
  const Stopwatch watch(figures_.check_seconds);
  PiecesDevice volume_device(result, pair_.target);
  guest::SyncDevice device(loop_, volume_device);
  guest::CheckOptions check;
  check.scratch_folder = options.scratch_folder;
  ASSIGN(const guest::CheckReport checked, guest::CheckExt4(device, check));
  if (!checked.clean) wrong.push_back("e2fsck: " + checked.text);
  return wrong;
}

Result<std::vector<std::string>> VolumeRebase::Recheck(ImageChain& result,
                                                       const VerifyOptions& options) {
  std::vector<std::string> missing;
  {
    ASSIGN(const std::unique_ptr<guest::Ext4View> view,
           OpenView(loop_, result, pair_.target, "the result"));
    ASSIGN(applied_.inodes, guest::FindPlanned(outcome_.plan, view->volume()));
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
