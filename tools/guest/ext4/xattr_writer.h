// SPDX-License-Identifier: Apache-2.0
// Sets and removes extended attributes through libext2fs, with what its 1.47.0 leaves undone for
// values in inodes of their own (ea_inode): freeing them with the file, and counting them in
// i_blocks.
#pragma once

#include "tools/guest/ext4/map_writer.h"

namespace mica::guest {

// Makes the attributes of the inode exactly `xattrs`. With nothing changed: kNoSpace when they do
// not fit, kUnsupported for names this file system cannot store.
Result<void> SetXattrs(WriteContext& context, uint64_t inode, const Xattrs& xattrs);

// Whether they fit into the inode as it is. Inline data, which stands among the attributes, stays.
Result<bool> HasRoomForXattrs(WriteContext& context, const RawInode& inode, const Xattrs& xattrs);

// Frees all attributes, the attribute block and value inodes, of an inode about to be deleted.
Result<void> FreeXattrs(WriteContext& context, RawInode& inode);

// Removes the part of inline data that stands among the attributes; `inode` is read anew. The
// inline data flag is the caller's.
Result<void> RemoveInlineTail(WriteContext& context, RawInode& inode);

}  // namespace mica::guest
