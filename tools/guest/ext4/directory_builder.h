// SPDX-License-Identifier: Apache-2.0
// Writes a whole directory anew: one block, or a hashed directory with its index, or linear blocks
// where the file system has no dir_index. libext2fs never turns a grown linear directory into a
// hashed one.
#pragma once

#include <string>
#include <vector>

#include "tools/guest/ext4/map_writer.h"

namespace mica::guest {

struct BuiltEntry {
  std::string name;
  uint32_t inode = 0;
  uint8_t file_type = 0;
};

// Replaces all blocks (or the inline data) of `directory` by `entries` under `parent`, and writes
// the inode. Leaves are filled to about three quarters, to leave room for more.
Result<void> BuildDirectory(WriteContext& context, RawInode& directory, uint32_t parent,
                            const std::vector<BuiltEntry>& entries);

}  // namespace mica::guest
