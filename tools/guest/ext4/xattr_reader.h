// SPDX-License-Identifier: Apache-2.0
// Reads the extended attributes of an inode: those in the inode, those in its attribute block, and
// values that have an inode of their own (ea_inode). Layout: linux/fs/ext4/xattr.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "tools/guest/ext4/inode.h"

namespace mica::guest {

struct RawXattr {
  uint8_t index = 0;         // name prefix, EXT4_XATTR_INDEX_…
  std::string leaf;          // the name behind the prefix
  std::string value;         // as stored
  uint32_t value_inode = 0;  // 0: stored in place
  bool in_block = false;     // the entry stands in the attribute block, which inodes may share
};

// kCorrupt for entries or values that leave their area.
Result<std::vector<RawXattr>> ReadRawXattrs(ext2_filsys fs, IoManager& io, const RawInode& inode);

// The full name; empty for what Linux shows nobody (inline data, encryption context, verity).
std::string FullName(const RawXattr& xattr);

// As getxattr(2) and listxattr(2) show them to root: full names, access control lists in kernel
// form, nothing internal.
Result<Xattrs> ReadXattrs(ext2_filsys fs, IoManager& io, const RawInode& inode);

// The part of inline data that did not fit into i_block; empty when there is none.
Result<std::string> ReadInlineTail(ext2_filsys fs, IoManager& io, const RawInode& inode);

}  // namespace mica::guest
