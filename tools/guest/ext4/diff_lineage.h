// SPDX-License-Identifier: Apache-2.0
// Which inodes of two versions are one object.
#pragma once

#include "engine/base/result.h"
#include "tools/guest/ext4/index_blocks.h"

namespace mica::guest {

// As Ext4Blocks::ReadInode, but an inode beyond the last one reads as unused: one version may have
// more inodes.
Result<RawInode> ReadVersion(const Ext4Blocks& blocks, uint32_t number);

// Same kind, generation and creation time; the number alone is reused. Both are objects.
bool SameLineage(const RawInode& before, const RawInode& after) noexcept;

}  // namespace mica::guest
