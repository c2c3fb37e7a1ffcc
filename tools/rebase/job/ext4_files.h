// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "tools/guest/ext4/view.h"
#include "tools/rebase/job/layout.h"
#include "tools/rebase/job/volume_files.h"
#include "tools/rebase/job/volume_patch.h"

namespace mica::rebase {

// An ext2, ext3 or ext4 volume, through libext2fs.
class Ext4Files final : public VolumeFiles {
 public:
  // Borrows loop and images. `known`: of the same volume of the same masters; null: it is opened.
  // Errors of VolumePatch::Open.
  static Result<std::unique_ptr<VolumeFiles>> Open(EventLoop& loop, RebaseImages& images,
                                                   const VolumePair& pair,
                                                   std::shared_ptr<VolumePatch> known);

  guest::Volume& base() override { return patch_->base().volume(); }
  guest::Volume& ours() override { return ours_->volume(); }
  guest::Volume& target() override { return patch_->target().volume(); }
  [[nodiscard]] std::shared_ptr<VolumePatch> patch() const override { return patch_; }
  Result<VolumeDiff> DiffOurs() override;
  Result<const VolumeDiff*> DiffTheirs() override { return patch_->Diff(); }
  Result<guest::ApplyResult> Apply(ImageChain& result, const guest::Plan& plan,
                                   const guest::ApplyOptions& options) override;
  Result<guest::CaughtUp> CatchUp(ImageChain& result, const EarlierFiles& earlier,
                                  const guest::Plan& plan,
                                  const guest::ApplyOptions& options) override;
  Result<std::unique_ptr<ResultFiles>> OpenResult(ImageChain& result) override;
  Result<std::optional<std::string>> Check(ImageChain& result,
                                           const std::string& scratch_folder) override;

 private:
  Ext4Files(EventLoop& loop, const VolumePair& pair) : loop_(loop), pair_(pair) {}

  // Opens the volume of `result` for writing, has it changed, and closes it.
  using Change = std::function<Result<void>(guest::Ext4Volume& volume)>;
  Result<void> ChangeResult(ImageChain& result, const Change& change);

  EventLoop& loop_;
  VolumePair pair_;
  std::shared_ptr<VolumePatch> patch_;
  std::unique_ptr<guest::Ext4View> ours_;
};

}  // namespace mica::rebase
