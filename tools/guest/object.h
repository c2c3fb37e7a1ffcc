// SPDX-License-Identifier: Apache-2.0
// The file-system-neutral view of one object (inode) of a guest volume.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace mica::guest {

enum class ObjectKind : uint8_t {
  kRegular,
  kDirectory,
  kSymlink,
  kCharDevice,
  kBlockDevice,
  kFifo,
  kSocket,
};

struct Timestamp {
  int64_t seconds = 0;  // since the epoch
  uint32_t nanoseconds = 0;
  friend auto operator<=>(const Timestamp&, const Timestamp&) = default;
};

// What makes an object the same object after a rename or in another version of the volume. The
// inode number alone is reused; with generation and creation time it is not.
struct ObjectId {
  uint64_t inode = 0;
  uint32_t generation = 0;
  Timestamp created;
  friend auto operator<=>(const ObjectId&, const ObjectId&) = default;
};

// Extended attributes: full names ("user.x", "security.capability", "system.posix_acl_access"),
// values as the kernel's getxattr(2) returns them.
using Xattrs = std::map<std::string, std::string>;

struct Attributes {
  uint32_t mode = 0;  // permission bits with set-id and sticky (07777), without the kind
  uint32_t uid = 0;
  uint32_t gid = 0;
  Timestamp modified;
  uint32_t flags = 0;       // the chattr(1) flags a user can set (immutable, append, nodump, …)
  uint32_t project_id = 0;  // 0 where the file system has none
  Xattrs xattrs;
  friend bool operator==(const Attributes&, const Attributes&) = default;
};

struct Object {
  ObjectId id;
  ObjectKind kind = ObjectKind::kRegular;
  Attributes attributes;
  uint64_t size = 0;  // bytes of content; regular files and symlinks
  uint32_t link_count = 0;
  std::string symlink_target;  // symlinks
  uint32_t device_major = 0;   // devices
  uint32_t device_minor = 0;
};

// One name of an object. Names are bytes: no encoding is assumed. The root directory has one, with
// itself as the parent, an empty leaf and the path "/".
struct Name {
  uint64_t parent = 0;  // inode of the directory
  std::string leaf;
  std::string path;  // absolute path in the same version of the volume, for rules and reports
  // Of the directory: tells it from an earlier one that had the same inode.
  uint32_t parent_generation = 0;
  friend bool operator==(const Name&, const Name&) = default;
};

}  // namespace mica::guest
