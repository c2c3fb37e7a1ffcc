// SPDX-License-Identifier: Apache-2.0
// What a file system check reads of an ext2/3/4 file system, and nothing else, for a copy of it at
// the same places of a sparse file, as `e2image -r` makes it. File content stays behind.
#pragma once

#include <vector>

#include "engine/base/range.h"
#include "engine/base/result.h"
#include "tools/guest/ext4/volume.h"

namespace mica::guest {

// In bytes of the device, sorted and joined. `volume` is open for reading on `device`. Damage in
// the metadata is no error: what can be followed is there, and the check will find the rest
// missing.
Result<std::vector<ByteRange>> FindMetadata(SyncDevice& device, Ext4Volume& volume);

// To the same places of a file that is empty but for its size.
Result<void> CopyRanges(SyncDevice& device, const std::vector<ByteRange>& ranges, int fd);

}  // namespace mica::guest
