// SPDX-License-Identifier: Apache-2.0
// What must be known about an XFS or btrfs file system before the kernel is asked to mount it.
// Layouts: "XFS Algorithms & Data Structures", struct btrfs_super_block.
#pragma once

#include <array>
#include <cstddef>
#include <string>

#include "engine/base/result.h"
#include "tools/guest/disk.h"
#include "tools/guest/sync_device.h"

namespace mica::guest {

struct MountedSuperblock {
  std::array<std::byte, 16> uuid{};
  std::string label;
};

// As mount(8) and the kernel name it; empty for what is never mounted.
std::string_view KernelNameOf(VolumeKind kind) noexcept;

// kUnsupported for what lies on other devices as well: an external log, a realtime device, several
// devices of one btrfs.
Result<MountedSuperblock> ReadMountedSuperblock(SyncDevice& device, VolumeKind kind);

}  // namespace mica::guest
