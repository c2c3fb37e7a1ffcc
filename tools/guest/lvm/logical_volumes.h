// SPDX-License-Identifier: Apache-2.0
// The LVM2 volumes of one disk: where each linear logical volume lies on it. Several physical
// volumes of the disk may form one group.
#pragma once

#include <string>
#include <vector>

#include "engine/base/range.h"
#include "engine/base/result.h"
#include "tools/guest/sync_device.h"

namespace mica::guest {

struct LogicalVolume {
  std::string name;               // "group/volume"
  std::vector<ByteRange> pieces;  // bytes of the disk, in the volume's order
};

struct LvmDisk {
  // Of groups that are understood as a whole.
  std::vector<LogicalVolume> volumes;
  // One for each physical volume: why what is on it is not among `volumes`; empty when it is.
  std::vector<std::string> obstacles;
};

// `partitions`: the physical volumes, as ranges of the disk. Damage and what is not linear are
// obstacles; errors are the device's only.
Result<LvmDisk> ReadLogicalVolumes(SyncDevice& disk, const std::vector<ByteRange>& partitions);

}  // namespace mica::guest
