// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tools/guest/mounted/mounted_view.h"
#include "tools/guest/walk_tree.h"
#include "tools/rebase/job/kernel_volumes.h"
#include "tools/rebase/job/layout.h"
#include "tools/rebase/job/volume_files.h"

namespace mica::rebase {

// An XFS or btrfs volume, through the host's kernel. Both sides are found by walking the trees.
class MountedFiles final : public VolumeFiles {
 public:
  // Borrows images and mounter.
  static Result<std::unique_ptr<VolumeFiles>> Open(guest::Mounter& mounter, RebaseImages& images,
                                                   const VolumePair& pair);

  guest::Volume& base() override { return base_->volume(); }
  guest::Volume& ours() override { return ours_->volume(); }
  guest::Volume& target() override { return target_->volume(); }
  Result<VolumeDiff> DiffOurs() override;
  Result<const VolumeDiff*> DiffTheirs() override;
  Result<guest::ApplyResult> Apply(ImageChain& result, const guest::Plan& plan,
                                   const guest::ApplyOptions& options) override;
  Result<guest::CaughtUp> CatchUp(ImageChain& result, const EarlierFiles& earlier,
                                  const guest::Plan& plan,
                                  const guest::ApplyOptions& options) override;
  Result<std::unique_ptr<ResultFiles>> OpenResult(ImageChain& result) override;
  Result<std::optional<std::string>> Check(ImageChain& result,
                                           const std::string& scratch_folder) override;

 private:
  MountedFiles(guest::Mounter& mounter, RebaseImages& images, const VolumePair& pair)
      : mounter_(mounter), images_(images), pair_(pair) {}

  Result<std::unique_ptr<guest::MountedView>> OpenView(ImageChain& chain,
                                                       const std::vector<ByteRange>& pieces,
                                                       const std::string& what);

  guest::Mounter& mounter_;
  RebaseImages& images_;
  VolumePair pair_;
  std::unique_ptr<guest::MountedView> base_;
  std::unique_ptr<guest::MountedView> ours_;
  std::unique_ptr<guest::MountedView> target_;
  std::optional<VolumeDiff> their_diff_;
};

}  // namespace mica::rebase
