// SPDX-License-Identifier: Apache-2.0
// Copies objects of a guest volume to the host's file system, through libarchive, which does not
// let a hostile name or symlink lead out of the destination.
#pragma once

#include <cstdint>
#include <filesystem>

#include "tools/guest/volume.h"

namespace mica {

struct ExtractFigures {
  uint64_t objects = 0;
  uint64_t bytes = 0;
};

// Copies the object `inode` (a directory with everything below it) to `destination`, which must not
// exist while its directory does. Content with holes, modes, times, xattrs, ACLs and hard links;
// owners and devices only as root. kExists, kCorrupt for names no file can have, host errors.
Result<ExtractFigures> ExtractTree(guest::Volume& volume, uint64_t inode,
                                   const std::filesystem::path& destination);

}  // namespace mica
