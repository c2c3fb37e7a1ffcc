// SPDX-License-Identifier: Apache-2.0
// What the metadata text of an LVM2 volume group says, as far as linear volumes need it. Content is
// hostile: everything is checked against the numbers of extents that the text itself gives.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"

namespace mica::guest {

struct VgDisk {              // a physical volume of the group
  std::string name;          // within the text: "pv0"
  std::string uuid;          // 32 characters, without hyphens
  uint64_t start_bytes = 0;  // of its first extent
  uint64_t extents = 0;
};

struct VgRun {      // consecutive extents
  size_t disk = 0;  // index into VolumeGroup::disks
  uint64_t first = 0;
  uint64_t count = 0;
};

struct VgVolume {
  std::string name;
  std::vector<VgRun> runs;
};

struct VolumeGroup {
  std::string name;
  std::string uuid;      // with hyphens, as it stands
  uint64_t version = 0;  // seqno: the higher one is valid
  uint64_t extent_bytes = 0;
  std::vector<VgDisk> disks;
  std::vector<VgVolume> volumes;
  // Why it is not looked into: "vg0/pool is a thin-pool, …"; volumes is empty then.
  std::string obstacle;
};

// kCorrupt when the text is damaged. Anything but linear volumes is no error but an obstacle.
Result<VolumeGroup> ParseVolumeGroup(std::string_view text);

}  // namespace mica::guest
