// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/volume_patch.h"

#include <fmt/format.h>

#include "engine/async/sync_wait.h"
#include "engine/chain_difference.h"
#include "tools/rebase/job/index_cache.h"
#include "tools/rebase/job/patch_cache.h"

namespace mica::rebase {

Result<std::unique_ptr<VolumePatch>> VolumePatch::Open(EventLoop& loop, RebaseImages& images,
                                                       const VolumePair& pair) {
  std::unique_ptr<VolumePatch> patch(new VolumePatch(loop, images, pair));
  TRY(patch->OpenViews());
  return patch;
}

Result<void> VolumePatch::OpenViews() {
  const LayerInfo& master = images_.base->layer(0).info();
  auto base = guest::Ext4View::Open(loop_, *images_.base, pair_.base);
  if (!base) return std::move(base).error().WithContext(master.path);
  base_ = std::move(*base);
  auto target = guest::Ext4View::Open(loop_, *images_.target, pair_.target);
  if (!target) return std::move(target).error().WithContext(images_.target_path.string());
  target_ = std::move(*target);
  if (!target_->replayed().empty()) {
    return Error{
        Errc::kUnsupported,
        fmt::format("{}: expected a master that was unmounted cleanly before it was sealed, "
                    "found a journal with transactions in {}; make the new master "
                    "again from a clean disk (e2fsck -p, then seal)",
                    images_.target_path.string(), pair_.id.Name())};
  }
  ASSIGN(base_index_, LoadOrBuildIndex(IndexPlace{master, pair_.id, images_.caches.base}, *base_));
  return {};
}

Result<const VolumeDiff*> VolumePatch::Diff() {
  if (diff_) return &*diff_;
  const PatchPlace place{images_.base->layer(0).info(),
                         images_.target->layer(0).info(),
                         pair_.id,
                         pair_.base,
                         pair_.target,
                         images_.caches.target};
  diff_ = LoadPatch(place);
  if (diff_) return &*diff_;
  std::vector<ByteRange> patched;
  if (pair_.base == pair_.target) {
    ASSIGN(const std::vector<ByteRange> masters_differ,
           SyncWait(loop_, DifferingRanges(*images_.base, *images_.target)));
    patched = RangesWithin(masters_differ, pair_.base);
  } else {
    // The volume lies elsewhere on the new disk: every block of it can differ.
    patched.push_back(ByteRange{0, std::max(BytesOf(pair_.base), BytesOf(pair_.target))});
  }
  VolumeDiffer differ(*base_, base_index_);
  Result<VolumeDiff> diff = differ.To(*target_, std::move(patched));
  if (!diff) return std::move(diff).error().WithContext(images_.target_path.string());
  diff_ = std::move(*diff);
  KeepPatch(place, *diff_, base_index_.shape().inode_count);
  return &*diff_;
}

Result<const guest::Ext4Index*> VolumePatch::TargetIndex() {
  if (!target_index_) {
    const LayerInfo& master = images_.target->layer(0).info();
    ASSIGN(target_index_,
           LoadOrBuildIndex(IndexPlace{master, pair_.id, images_.caches.target}, *target_));
  }
  return &*target_index_;
}

}  // namespace mica::rebase
