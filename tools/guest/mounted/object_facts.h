// SPDX-License-Identifier: Apache-2.0
// An object of a mounted file system as tools/guest/object.h has it, and its attributes set: what
// stat(2), xattr(7) and the inode flags say.
#pragma once

#include "engine/base/result.h"
#include "tools/guest/mounted/file_handles.h"
#include "tools/guest/object.h"

namespace mica::guest {

// The chattr(1) flags that are carried. How content is stored (compressed, without copy-on-write)
// is not among them.
uint32_t CarriedFlags() noexcept;

Result<Object> ReadObject(const FileHandles& handles, uint64_t inode);

// The flags alone of a file or directory; 0 of anything else.
Result<uint32_t> ReadFlags(const FileHandles& handles, uint64_t inode);
Result<void> WriteFlags(const FileHandles& handles, uint64_t inode, uint32_t flags);

// All of `attributes`, the flags last: they can forbid everything else, so the object must be
// without such flags before.
Result<void> WriteAttributes(const FileHandles& handles, uint64_t inode,
                             const Attributes& attributes);

}  // namespace mica::guest
