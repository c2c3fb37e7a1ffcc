// SPDX-License-Identifier: Apache-2.0
// The verdict of xfs_repair or `btrfs check` on a volume, which they read as a file.
#pragma once

#include "tools/guest/disk.h"
#include "tools/guest/ext4/check.h"
#include "tools/guest/mounted/mounter.h"

namespace mica::guest {

// Read-only; the volume must have been unmounted cleanly. Not clean is an answer, not an error.
// kNotFound when the program is not installed.
Result<CheckReport> CheckMounted(Mounter& mounter, BlockDevice& volume, VolumeKind kind);

}  // namespace mica::guest
