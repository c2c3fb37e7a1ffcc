// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/view.h"

#include "tools/guest/ext4/journal.h"

namespace mica::guest {

Result<std::unique_ptr<Ext4View>> Ext4View::Open(EventLoop& loop, BlockDevice& disk,
                                                 const std::vector<ByteRange>& pieces) {
  std::unique_ptr<Ext4View> view(new Ext4View(loop, disk, pieces));
  TRY(ReplayJournal(view->device_));
  view->replayed_ = view->overlay_.OverlaidRanges();
  ASSIGN(view->volume_, Ext4Volume::Open(view->device_, Ext4Options{}));
  return view;
}

}  // namespace mica::guest
