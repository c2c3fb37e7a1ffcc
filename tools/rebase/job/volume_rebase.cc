// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/volume_rebase.h"

#include <fmt/format.h>

#include "engine/async/sync_wait.h"
#include "engine/chain_difference.h"
#include "engine/filters/offset_device.h"
#include "tools/guest/ext4/apply_buffer.h"
#include "tools/guest/ext4/check.h"
#include "tools/guest/ext4/verify.h"
#include "tools/rebase/job/index_cache.h"
#include "tools/rebase/job/stopwatch.h"

namespace mica::rebase {

namespace {

Result<std::unique_ptr<guest::Ext4View>> OpenView(EventLoop& loop, ImageChain& chain,
                                                  ByteRange range, const std::string& what) {
  Result<std::unique_ptr<guest::Ext4View>> view = guest::Ext4View::Open(loop, chain, range);
  if (!view) return std::move(view).error().WithContext(what);
  return view;
}

}  // namespace

guest::Volume& VolumeRebase::VolumeOf(Side side) {
  return side == Side::kOurs ? ours_->volume() : target_->volume();
}

Result<void> VolumeRebase::OpenViews() {
  const Stopwatch watch(figures_.open_seconds);
  const LayerInfo& master = images_.base->layer(0).info();
  ASSIGN(base_, OpenView(loop_, *images_.base, pair_.base, master.path));
  ASSIGN(ours_, OpenView(loop_, *images_.vm, pair_.base, images_.vm_path.string()));
  ASSIGN(target_, OpenView(loop_, *images_.target, pair_.target, images_.target_path.string()));
  if (!target_->replayed().empty()) {
    return Error{
        Errc::kUnsupported,
        fmt::format("{}: expected a master that was unmounted cleanly before it was sealed, "
                    "found a journal with transactions in partition {}; make the new master "
                    "again from a clean disk (e2fsck -p, then seal)",
                    images_.target_path.string(), pair_.number)};
  }
  ASSIGN(base_index_, LoadOrBuildIndex(IndexPlace{master, pair_.number}, *base_));
  return {};
}

Result<void> VolumeRebase::Diff(const std::vector<ByteRange>& masters_differ) {
  VolumeDiffer differ(*base_, base_index_);
  {
    const Stopwatch watch(figures_.our_diff_seconds);
    ASSIGN(our_diff_, differ.To(*ours_, pair_.touched));
  }
  const Stopwatch watch(figures_.their_diff_seconds);
  std::vector<ByteRange> patched;
  if (pair_.base == pair_.target) {
    patched = RangesWithin(masters_differ, pair_.base);
  } else {
    // The volume lies elsewhere on the new disk: every block of it can differ.
    patched.push_back(ByteRange{0, std::max(pair_.base.length, pair_.target.length)});
  }
  ASSIGN(their_diff_, differ.To(*target_, std::move(patched)));
  figures_.our_method = our_diff_.method;
  figures_.their_method = their_diff_.method;
  figures_.our_changes = our_diff_.changes.objects.size();
  figures_.their_changes = their_diff_.changes.objects.size();
  return {};
}

Result<std::unique_ptr<VolumeRebase>> VolumeRebase::Plan(
    EventLoop& loop, RebaseImages& images, const VolumePair& pair,
    const std::vector<ByteRange>& masters_differ, const Policy& policy) {
  std::unique_ptr<VolumeRebase> rebase(new VolumeRebase(loop, images, pair));
  TRY(rebase->OpenViews());
  TRY(rebase->Diff(masters_differ));
  const Stopwatch watch(rebase->figures_.plan_seconds);
  const PlanInput input{rebase->our_diff_.changes,
                        rebase->their_diff_.changes,
                        rebase->base_->volume(),
                        rebase->ours_->volume(),
                        rebase->target_->volume(),
                        *rebase->their_diff_.lineage,
                        policy};
  ASSIGN(rebase->outcome_, MakePlan(input));
  return rebase;
}

Result<void> VolumeRebase::Apply(ImageChain& result, const guest::ApplyOptions& options) {
  const Stopwatch watch(figures_.apply_seconds);
  const LayerInfo& master = images_.target->layer(0).info();
  ASSIGN(target_index_, LoadOrBuildIndex(IndexPlace{master, pair_.number}, *target_));
  OffsetDevice partition(result, pair_.target);
  guest::ApplyBuffer buffer(partition);  // Close flushes it
  guest::SyncDevice device(loop_, buffer);
  guest::Ext4Options writable;
  writable.access = guest::Ext4Access::kReadWrite;
  ASSIGN(const std::unique_ptr<guest::Ext4Volume> volume,
         guest::Ext4Volume::Open(device, writable));
  const guest::ApplyInput input{outcome_.plan, *volume, target_index_, ours_->volume()};
  ASSIGN(applied_, guest::ApplyPlan(input, options));
  return volume->Close();
}

Result<std::vector<std::string>> VolumeRebase::Verify(ImageChain& result, FileSystemCheck check) {
  std::vector<std::string> wrong;
  {
    const Stopwatch watch(figures_.verify_seconds);
    ASSIGN(const std::vector<ByteRange> written, SyncWait(loop_, RangesAbove(result, 1)));
    ASSIGN(const std::unique_ptr<guest::Ext4View> view,
           OpenView(loop_, result, pair_.target, "the result"));
    const guest::VerifyInput input{outcome_.plan,     applied_,
                                   target_->volume(), target_index_,
                                   view->volume(),    RangesWithin(written, pair_.target),
                                   ours_->volume()};
    ASSIGN(const std::vector<guest::Discrepancy> found, guest::VerifyResult(input));
    for (const guest::Discrepancy& discrepancy : found) {
      wrong.push_back(fmt::format("{}: {}", discrepancy.path, discrepancy.what));
    }
  }
  if (check == FileSystemCheck::kSkip) return wrong;
  const Stopwatch watch(figures_.check_seconds);
  OffsetDevice partition(result, pair_.target);
  guest::SyncDevice device(loop_, partition);
  ASSIGN(const guest::CheckReport checked, guest::CheckExt4(device, guest::CheckOptions{}));
  if (!checked.clean) wrong.push_back("e2fsck: " + checked.text);
  return wrong;
}

}  // namespace mica::rebase
