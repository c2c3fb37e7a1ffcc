// SPDX-License-Identifier: Apache-2.0
// The block map of ext2 and ext3: 12 direct blocks, then trees of indirect blocks.
#pragma once

#include <vector>

#include "tools/guest/ext4/map_writer.h"

namespace mica::guest {

// As StoreMap, for an inode without the extents flag. kLimit for what the form cannot map.
Result<void> StoreIndirectMap(WriteContext& context, RawInode& inode,
                              const std::vector<FileExtent>& extents);

}  // namespace mica::guest
