// SPDX-License-Identifier: Apache-2.0
// One volume of the old and of the new master, and what the patch did to it: the part of a rebase
// that is the same for all VMs.
#pragma once

#include <memory>
#include <optional>

#include "tools/guest/ext4/index.h"
#include "tools/guest/ext4/view.h"
#include "tools/rebase/job/images.h"
#include "tools/rebase/job/layout.h"
#include "tools/rebase/job/volume_diff.h"

namespace mica::rebase {

class VolumePatch {
 public:
  // Borrows loop and images, of which the VM is not used. kUnsupported when the new master was not
  // unmounted cleanly.
  static Result<std::unique_ptr<VolumePatch>> Open(EventLoop& loop, RebaseImages& images,
                                                   const VolumePair& pair);

  [[nodiscard]] guest::Ext4View& base() noexcept { return *base_; }
  [[nodiscard]] guest::Ext4View& target() noexcept { return *target_; }
  [[nodiscard]] const guest::Ext4Index& base_index() const noexcept { return base_index_; }
  // Old master -> new master, from the cache or worked out.
  Result<const VolumeDiff*> Diff();
  Result<const guest::Ext4Index*> TargetIndex();

 private:
  VolumePatch(EventLoop& loop, RebaseImages& images, const VolumePair& pair)
      : loop_(loop), images_(images), pair_(pair) {}

  Result<void> OpenViews();

  EventLoop& loop_;
  RebaseImages& images_;
  VolumePair pair_;
  std::unique_ptr<guest::Ext4View> base_;
  std::unique_ptr<guest::Ext4View> target_;
  guest::Ext4Index base_index_;
  std::optional<guest::Ext4Index> target_index_;
  std::optional<VolumeDiff> diff_;
};

}  // namespace mica::rebase
