// SPDX-License-Identifier: Apache-2.0
// /etc/fstab of a guest: where it mounts which volume of its disk.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tools/guest/volume_id.h"

namespace mica::guest {

struct FstabEntry {
  std::string source;       // "UUID=…", "/dev/vda2"
  std::string mount_point;  // absolute, without a slash at the end but for "/"
};

// Lines that are none are left out. Octal escapes as in fstab(5).
std::vector<FstabEntry> ParseFstab(std::string_view text);

// What a volume can be called in an fstab.
struct VolumeNames {
  VolumeId id;
  std::string uuid;       // of the file system, lower case
  std::string label;      // of the file system
  std::string part_uuid;  // GPT
  std::string part_label;
};

// Names of devices count for the first disk of a machine: /dev/sda2, /dev/vda2, /dev/nvme0n1p2.
bool IsNamed(const FstabEntry& entry, const VolumeNames& volume);

}  // namespace mica::guest
