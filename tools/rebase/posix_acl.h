// SPDX-License-Identifier: Apache-2.0
// POSIX access control lists as getxattr(2) gives them (linux/posix_acl_xattr.h): little-endian, a
// version word, then entries of tag, permission and id.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tools/rebase/id_map.h"

namespace mica::rebase {

inline constexpr std::string_view kAccessAcl = "system.posix_acl_access";
inline constexpr std::string_view kDefaultAcl = "system.posix_acl_default";

// With ids of named users and groups renumbered. A value of another form is returned as it is.
std::string RenumberAcl(std::string_view acl, const IdMap& ids);

// With the owner, mask (or group) and other entries set to the permission bits of `mode`, as
// chmod(2) does.
std::string FitAclToMode(std::string_view acl, uint32_t mode);

}  // namespace mica::rebase
