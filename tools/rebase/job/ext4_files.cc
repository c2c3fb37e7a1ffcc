// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/ext4_files.h"

#include "engine/async/sync_wait.h"
#include "engine/chain_difference.h"
#include "engine/filters/pieces_device.h"
#include "tools/guest/ext4/apply_and_verify.h"
#include "tools/guest/ext4/apply_buffer.h"
#include "tools/guest/ext4/check.h"
#include "tools/guest/ext4/content_since.h"
#include "tools/guest/ext4/writer.h"

namespace mica::rebase {

namespace {

Result<std::unique_ptr<guest::Ext4View>> OpenView(EventLoop& loop, ImageChain& chain,
                                                  const std::vector<ByteRange>& pieces,
                                                  const std::string& what) {
  Result<std::unique_ptr<guest::Ext4View>> view = guest::Ext4View::Open(loop, chain, pieces);
  if (!view) return std::move(view).error().WithContext(what);
  return view;
}

class Ext4Result final : public ResultFiles {
 public:
  Ext4Result(VolumePatch& patch, guest::Volume& ours, std::unique_ptr<guest::Ext4View> view,
             std::vector<ByteRange> touched)
      : patch_(patch), ours_(ours), view_(std::move(view)), touched_(std::move(touched)) {}

  guest::Volume& volume() override { return view_->volume(); }
  Result<std::vector<guest::Discrepancy>> CompareWith(const guest::Plan& plan,
                                                      const guest::ApplyResult& applied) override {
    ASSIGN(const guest::Ext4Index* const target_index, patch_.TargetIndex());
    return guest::VerifyResult(
        {plan, applied, patch_.target().volume(), *target_index, view_->volume(), touched_, ours_});
  }

 private:
  VolumePatch& patch_;
  guest::Volume& ours_;
  std::unique_ptr<guest::Ext4View> view_;
  std::vector<ByteRange> touched_;
};

}  // namespace

Result<std::unique_ptr<VolumeFiles>> Ext4Files::Open(EventLoop& loop, RebaseImages& images,
                                                     const VolumePair& pair,
                                                     std::shared_ptr<VolumePatch> known) {
  std::unique_ptr<Ext4Files> files(new Ext4Files(loop, pair));
  files->patch_ = std::move(known);
  if (files->patch_ == nullptr) {
    ASSIGN(files->patch_, VolumePatch::Open(loop, images, pair));
  }
  ASSIGN(files->ours_, OpenView(loop, *images.vm, pair.base, images.vm_path.string()));
  return std::unique_ptr<VolumeFiles>(std::move(files));
}

Result<VolumeDiff> Ext4Files::DiffOurs() {
  VolumeDiffer differ(patch_->base(), patch_->base_index());
  return differ.To(*ours_, pair_.touched);
}

Result<void> Ext4Files::ChangeResult(ImageChain& result, const Change& change) {
  PiecesDevice volume_device(result, pair_.target);
  guest::ApplyBuffer buffer(volume_device);  // Close flushes it
  guest::SyncDevice device(loop_, buffer);
  guest::Ext4Options writable;
  writable.access = guest::Ext4Access::kReadWrite;
  ASSIGN(const std::unique_ptr<guest::Ext4Volume> volume,
         guest::Ext4Volume::Open(device, writable));
  TRY(change(*volume));
  return volume->Close();
}

Result<guest::ApplyResult> Ext4Files::Apply(ImageChain& result, const guest::Plan& plan,
                                            const guest::ApplyOptions& options) {
  ASSIGN(const guest::Ext4Index* const target_index, patch_->TargetIndex());
  guest::ApplyResult applied;
  TRY(ChangeResult(result, [&](guest::Ext4Volume& volume) -> Result<void> {
    ASSIGN(applied, guest::ApplyPlan({plan, volume, *target_index, ours_->volume()}, options));
    return {};
  }));
  return applied;
}

Result<guest::CaughtUp> Ext4Files::CatchUp(ImageChain& result, const EarlierFiles& earlier,
                                           const guest::Plan& plan,
                                           const guest::ApplyOptions& options) {
  // Of the same kind: both are of one volume of the same masters.
  guest::Ext4View& then = *static_cast<Ext4Files&>(earlier.files).ours_;
  std::vector<ByteRange> written = earlier.changed;
  for (const guest::Ext4View* view : {&then, ours_.get()}) {
    written.insert(written.end(), view->replayed().begin(), view->replayed().end());
  }
  guest::ContentSince content(then.volume(), ours_->volume(), written);
  ASSIGN(const guest::Ext4Index* const target_index, patch_->TargetIndex());
  const guest::CatchUpTarget target{patch_->target().volume(), *target_index};
  const guest::CatchUpInput input{earlier.plan, plan, target, ours_->volume(),
                                  [&](uint64_t inode) { return content.Of(inode); }};
  guest::CaughtUp caught_up;
  TRY(ChangeResult(result, [&](guest::Ext4Volume& volume) -> Result<void> {
    guest::Ext4Writer writer(volume, {options.now, options.generation_seed});
    ASSIGN(caught_up, guest::CatchUpWith(input, volume, writer, options));
    return {};
  }));
  return caught_up;
}

Result<std::unique_ptr<ResultFiles>> Ext4Files::OpenResult(ImageChain& result) {
  ASSIGN(const std::vector<ByteRange> written, SyncWait(loop_, RangesAbove(result, 1)));
  ASSIGN(std::unique_ptr<guest::Ext4View> view,
         OpenView(loop_, result, pair_.target, "the result"));
  std::vector<ByteRange> touched = RangesWithin(written, pair_.target);
  // Of a guest that has run since and was not shut down cleanly.
  touched.insert(touched.end(), view->replayed().begin(), view->replayed().end());
  return std::unique_ptr<ResultFiles>(
      std::make_unique<Ext4Result>(*patch_, ours_->volume(), std::move(view), std::move(touched)));
}

Result<std::optional<std::string>> Ext4Files::Check(ImageChain& result,
                                                    const std::string& scratch_folder) {
  PiecesDevice volume_device(result, pair_.target);
  guest::SyncDevice device(loop_, volume_device);
  guest::CheckOptions check;
  check.scratch_folder = scratch_folder;
  ASSIGN(const guest::CheckReport checked, guest::CheckExt4(device, check));
  if (checked.clean) return std::optional<std::string>();
  return std::optional("e2fsck: " + checked.text);
}

}  // namespace mica::rebase
