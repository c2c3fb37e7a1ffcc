// SPDX-License-Identifier: Apache-2.0
// Ext4View: a volume of a disk opened for reading as it would be after its journal is replayed. The
// replay goes to a scratch layer; the disk is not written.
#pragma once

#include <memory>
#include <vector>

#include "engine/filters/pieces_device.h"
#include "tools/guest/ext4/volume.h"
#include "tools/guest/overlay_device.h"

namespace mica::guest {

class Ext4View {
 public:
  // Borrows the loop and the disk. `pieces` are the volume on it.
  static Result<std::unique_ptr<Ext4View>> Open(EventLoop& loop, BlockDevice& disk,
                                                const std::vector<ByteRange>& pieces);

  [[nodiscard]] Ext4Volume& volume() noexcept { return *volume_; }
  // What the replay changed, relative to the volume, in order; empty for a clean volume.
  [[nodiscard]] const std::vector<ByteRange>& replayed() const noexcept { return replayed_; }

 private:
  Ext4View(EventLoop& loop, BlockDevice& disk, const std::vector<ByteRange>& pieces)
      : pieces_(disk, pieces), overlay_(pieces_), device_(loop, overlay_) {}

  PiecesDevice pieces_;
  OverlayDevice overlay_;
  SyncDevice device_;
  std::vector<ByteRange> replayed_;
  std::unique_ptr<Ext4Volume> volume_;
};

}  // namespace mica::guest
