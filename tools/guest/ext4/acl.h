// SPDX-License-Identifier: Apache-2.0
// POSIX access control lists: the compact form on the disk of ext2/3/4 and the form of getxattr(2)
// (struct posix_acl_xattr_header in Linux' uapi). Both little-endian.
#pragma once

#include <string>
#include <string_view>

#include "engine/base/result.h"

namespace mica::guest {

// kCorrupt / kInvalidArgument for a malformed value.
Result<std::string> AclFromDisk(std::string_view disk);
Result<std::string> AclToDisk(std::string_view kernel);

// Whether an attribute of this full name holds an access control list.
bool IsAclName(std::string_view name) noexcept;

}  // namespace mica::guest
