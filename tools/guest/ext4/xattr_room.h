// SPDX-License-Identifier: Apache-2.0
// Which extended attributes an inode has room for: behind its own fields, in one attribute block
// and, with ea_inode, values in inodes of their own. Layout: linux/fs/ext4/xattr.h.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "tools/guest/ext4/inode.h"
#include "tools/guest/object.h"

namespace mica::guest {

// Bytes for entries and values that are still free.
struct XattrRoom {
  size_t inode_bytes = 0;
  size_t block_bytes = 0;
  size_t value_bytes_max = 0;  // larger values get an inode of their own
  bool value_inodes = false;   // and others that find no room: the file system has ea_inode
};

// Of an inode without attributes whose fields behind the first 128 bytes are `extra_bytes`
// (i_extra_isize).
XattrRoom RoomForXattrs(ext2_filsys fs, size_t extra_bytes);

// Of any inode of the file system, whoever made it.
XattrRoom LeastRoomForXattrs(ext2_filsys fs);

// Less what one attribute takes, with its value in place.
void TakeRoom(size_t& bytes, size_t name_bytes, size_t value_bytes);

// The names in an order in which libext2fs, which takes the first place that is large enough, finds
// room for each; empty when not all fit, or when one is not what ext4 stores.
std::optional<std::vector<std::string>> ArrangeXattrs(XattrRoom room, const Xattrs& xattrs);

// kUnsupported unless ext4 can store attributes of all these names.
Result<void> CheckXattrNames(const Xattrs& xattrs);

}  // namespace mica::guest
