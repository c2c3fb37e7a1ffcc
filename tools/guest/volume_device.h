// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "engine/filters/pieces_device.h"
#include "tools/guest/sync_device.h"

namespace mica::guest {

// A volume of a disk, for callers that cannot suspend. Borrows the loop and the disk, which has the
// pieces.
class VolumeDevice {
 public:
  VolumeDevice(EventLoop& loop, BlockDevice& disk, const std::vector<ByteRange>& pieces)
      : pieces_(disk, pieces), sync_(loop, pieces_) {}

  [[nodiscard]] SyncDevice& sync() noexcept { return sync_; }
  [[nodiscard]] BlockDevice& device() noexcept { return pieces_; }

 private:
  PiecesDevice pieces_;
  SyncDevice sync_;
};

}  // namespace mica::guest
