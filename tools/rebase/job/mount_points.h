// SPDX-License-Identifier: Apache-2.0
// Where the guest sees the files of each volume: policies and reports speak of paths of the guest,
// and a disk may have /home or /var as a volume of its own.
#pragma once

#include <string>
#include <vector>

#include "engine/async/event_loop.h"
#include "engine/base/result.h"
#include "engine/block_device.h"
#include "tools/guest/volume_id.h"
#include "tools/rebase/job/kernel_volumes.h"

namespace mica::rebase {

struct MountPoint {
  std::vector<ByteRange> pieces;  // of the volume
  std::string path;               // "/", "/home"
};

class MountTable {
 public:
  MountTable() = default;
  explicit MountTable(std::vector<MountPoint> points) : points_(std::move(points)) {}

  // Whether the guest's root directory is known to be in this volume.
  [[nodiscard]] bool IsRoot(const std::vector<ByteRange>& pieces) const;
  // Whether it is known where the guest mounts this volume.
  [[nodiscard]] bool IsMounted(const std::vector<ByteRange>& pieces) const;
  // What stands before the volume's paths: "" for the root directory and where nothing is known of
  // the disk; "/[partition 4]" for a volume that is mounted nowhere.
  [[nodiscard]] std::string PathOf(const std::vector<ByteRange>& pieces,
                                   const guest::VolumeId& id) const;

 private:
  std::vector<MountPoint> points_;
};

// Of a disk with several volumes that can be looked into, as the /etc/fstab on one of them says;
// that one is "/". Nothing is known of other disks, and of one without an fstab. Content that
// cannot be read is passed over: whoever rebases the volume reports it.
Result<MountTable> FindMountPoints(EventLoop& loop, BlockDevice& disk, const KernelVolumes& kernel);

}  // namespace mica::rebase
