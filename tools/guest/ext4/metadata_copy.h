// SPDX-License-Identifier: Apache-2.0
// Copies all that a file system check reads of an ext2/3/4 file system, and nothing else, to the
// same places of a sparse file, as `e2image -r` does. File content stays behind.
#pragma once

#include <cstdint>

#include "engine/base/result.h"
#include "tools/guest/ext4/volume.h"

namespace mica::guest {

struct MetadataCopy {
  uint64_t bytes_copied = 0;
};

// `volume` is open for reading on `device`; `fd` is an empty file. Damage in the metadata is no
// error: what can be followed is copied, and the check will find the rest missing.
Result<MetadataCopy> CopyMetadata(SyncDevice& device, Ext4Volume& volume, int fd);

}  // namespace mica::guest
