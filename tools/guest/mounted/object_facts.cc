// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/mounted/object_facts.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <linux/limits.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <optional>
#include <vector>

#include "tools/guest/text.h"

namespace mica::guest {

namespace {

struct FlagPair {
  uint32_t flag;   // as chattr has it
  uint32_t xflag;  // as FS_IOC_FSGETXATTR has it
};
constexpr FlagPair kFlags[] = {
    {FS_SYNC_FL, FS_XFLAG_SYNC},       {FS_IMMUTABLE_FL, FS_XFLAG_IMMUTABLE},
    {FS_APPEND_FL, FS_XFLAG_APPEND},   {FS_NODUMP_FL, FS_XFLAG_NODUMP},
    {FS_NOATIME_FL, FS_XFLAG_NOATIME}, {FS_PROJINHERIT_FL, FS_XFLAG_PROJINHERIT},
};

Error ObjectError(std::string_view what, uint64_t inode) {
  return ErrnoError(errno, fmt::format("{} of inode {}", what, inode));
}

// A path that leads to the object of a descriptor, for calls that refuse O_PATH. It is not walked
// on from there, so a symlink stays itself.
std::string PathOf(const UniqueFd& fd) {
  return fmt::format("/proc/self/fd/{}", fd.get());
}

bool HasFlags(ObjectKind kind) noexcept {
  return kind == ObjectKind::kRegular || kind == ObjectKind::kDirectory;
}

// XFS shows the attributes that it keeps ACLs in as well as the ACLs.
bool IsCarried(std::string_view name) {
  if (name.starts_with("trusted.SGI_ACL_")) return false;
  return !name.starts_with("system.") || name.starts_with("system.posix_acl_");
}

Result<std::vector<std::string>> XattrNames(const std::string& path, uint64_t inode) {
  thread_local std::array<char, XATTR_LIST_MAX> room;
  const ssize_t length = ::listxattr(path.c_str(), room.data(), room.size());
  if (length < 0 && errno != EOPNOTSUPP) return ObjectError("list the attributes", inode);
  const std::string list(room.data(), static_cast<size_t>(std::max<ssize_t>(length, 0)));
  std::vector<std::string> names;
  for (size_t at = 0; at < list.size();) {
    const std::string name(list.c_str() + at);
    at += name.size() + 1;
    if (IsCarried(name)) names.push_back(name);
  }
  return names;
}

Result<std::string> XattrValue(const std::string& path, const std::string& name, uint64_t inode) {
  thread_local std::array<char, XATTR_SIZE_MAX> room;
  const ssize_t length = ::getxattr(path.c_str(), name.c_str(), room.data(), room.size());
  if (length < 0) return ObjectError("attribute " + DisplayText(name), inode);
  return std::string(room.data(), static_cast<size_t>(length));
}

Result<std::map<std::string, std::string>> ReadXattrs(const std::string& path, uint64_t inode) {
  std::map<std::string, std::string> xattrs;
  ASSIGN(const std::vector<std::string> names, XattrNames(path, inode));
  for (const std::string& name : names) {
    ASSIGN(xattrs[name], XattrValue(path, name, inode));
  }
  return xattrs;
}

Result<void> WriteXattrs(const std::string& path, uint64_t inode,
                         const std::map<std::string, std::string>& planned) {
  ASSIGN(const auto present, ReadXattrs(path, inode));
  for (const auto& [name, value] : present) {
    if (planned.contains(name)) continue;
    if (::removexattr(path.c_str(), name.c_str()) != 0 && errno != ENODATA) {
      return ObjectError("remove attribute " + DisplayText(name), inode);
    }
  }
  for (const auto& [name, value] : planned) {
    const auto old = present.find(name);
    if (old != present.end() && old->second == value) continue;
    if (::setxattr(path.c_str(), name.c_str(), value.data(), value.size(), 0) != 0) {
      return ObjectError("set attribute " + DisplayText(name), inode);
    }
  }
  return {};
}

Result<fsxattr> ReadFsxattr(const UniqueFd& fd, uint64_t inode) {
  fsxattr facts{};
  if (::ioctl(fd.get(), FS_IOC_FSGETXATTR, &facts) != 0) return ObjectError("flags", inode);
  return facts;
}

uint32_t FlagsOf(const fsxattr& facts) {
  uint32_t flags = 0;
  for (const FlagPair& pair : kFlags) {
    if ((facts.fsx_xflags & pair.xflag) != 0) flags |= pair.flag;
  }
  return flags;
}

Result<void> WriteFsxattr(const FileHandles& handles, uint64_t inode, uint32_t flags,
                          std::optional<uint32_t> project_id) {
  ASSIGN(const UniqueFd fd, handles.Open(inode, O_RDONLY));
  ASSIGN(fsxattr facts, ReadFsxattr(fd, inode));
  const uint32_t project = project_id.value_or(facts.fsx_projid);
  if (FlagsOf(facts) == (flags & CarriedFlags()) && facts.fsx_projid == project) return {};
  for (const FlagPair& pair : kFlags) {
    facts.fsx_xflags &= ~pair.xflag;
    if ((flags & pair.flag) != 0) facts.fsx_xflags |= pair.xflag;
  }
  facts.fsx_projid = project;
  if (::ioctl(fd.get(), FS_IOC_FSSETXATTR, &facts) != 0) return ObjectError("set flags", inode);
  return {};
}

Timestamp TimeOf(const statx_timestamp& time) {
  return {time.tv_sec, time.tv_nsec};
}

}  // namespace

uint32_t CarriedFlags() noexcept {
  uint32_t flags = 0;
  for (const FlagPair& pair : kFlags) flags |= pair.flag;
  return flags;
}

Result<Object> ReadObject(const FileHandles& handles, uint64_t inode) {
  ASSIGN(const ObjectKind kind, handles.KindOf(inode));
  ASSIGN(const UniqueFd fd,
         HasFlags(kind) ? handles.Open(inode, O_RDONLY) : handles.OpenPath(inode));
  struct statx facts{};
  if (::statx(fd.get(), "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &facts) != 0) {
    return ObjectError("facts", inode);
  }
  Object object;
  object.id.inode = facts.stx_ino;
  ASSIGN(object.id.generation, handles.GenerationOf(inode));
  if ((facts.stx_mask & STATX_BTIME) != 0) object.id.created = TimeOf(facts.stx_btime);
  ASSIGN(object.kind, KindOfMode(facts.stx_mode));
  object.attributes.mode = facts.stx_mode & 07777;
  object.attributes.uid = facts.stx_uid;
  object.attributes.gid = facts.stx_gid;
  object.attributes.modified = TimeOf(facts.stx_mtime);
  object.link_count = facts.stx_nlink;
  if (object.kind == ObjectKind::kRegular) object.size = facts.stx_size;
  if (object.kind == ObjectKind::kSymlink) {
    std::string target(PATH_MAX, '\0');
    const ssize_t length = ::readlinkat(fd.get(), "", target.data(), target.size());
    if (length < 0) return ObjectError("target", inode);
    target.resize(static_cast<size_t>(length));
    object.size = target.size();
    object.symlink_target = std::move(target);
  }
  if (object.kind == ObjectKind::kCharDevice || object.kind == ObjectKind::kBlockDevice) {
    object.device_major = facts.stx_rdev_major;
    object.device_minor = facts.stx_rdev_minor;
  }
  if (HasFlags(kind)) {
    ASSIGN(const fsxattr extended, ReadFsxattr(fd, inode));
    object.attributes.flags = FlagsOf(extended);
    object.attributes.project_id = extended.fsx_projid;
  }
  ASSIGN(object.attributes.xattrs, ReadXattrs(PathOf(fd), inode));
  return object;
}

Result<uint32_t> ReadFlags(const FileHandles& handles, uint64_t inode) {
  ASSIGN(const ObjectKind kind, handles.KindOf(inode));
  if (!HasFlags(kind)) return 0U;
  ASSIGN(const UniqueFd fd, handles.Open(inode, O_RDONLY));
  ASSIGN(const fsxattr facts, ReadFsxattr(fd, inode));
  return FlagsOf(facts);
}

Result<void> WriteFlags(const FileHandles& handles, uint64_t inode, uint32_t flags) {
  return WriteFsxattr(handles, inode, flags, std::nullopt);
}

// An owner's change takes set-id bits and capabilities away, an ACL changes the mode.
Result<void> WriteAttributes(const FileHandles& handles, uint64_t inode,
                             const Attributes& attributes) {
  ASSIGN(const ObjectKind kind, handles.KindOf(inode));
  ASSIGN(const UniqueFd fd, handles.OpenPath(inode));
  const std::string path = PathOf(fd);
  if (::fchownat(fd.get(), "", attributes.uid, attributes.gid, AT_EMPTY_PATH) != 0) {
    return ObjectError("set the owner", inode);
  }
  TRY(WriteXattrs(path, inode, attributes.xattrs));
  if (kind != ObjectKind::kSymlink && ::chmod(path.c_str(), attributes.mode) != 0) {
    return ObjectError("set the mode", inode);
  }
  const timespec times[2] = {
      {0, UTIME_OMIT},
      {attributes.modified.seconds, static_cast<long>(attributes.modified.nanoseconds)}};
  if (::utimensat(AT_FDCWD, path.c_str(), times, 0) != 0) return ObjectError("set the time", inode);
  if (!HasFlags(kind)) return {};
  return WriteFsxattr(handles, inode, attributes.flags, attributes.project_id);
}

}  // namespace mica::guest
