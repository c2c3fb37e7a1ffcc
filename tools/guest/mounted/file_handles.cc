// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/mounted/file_handles.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tools/guest/text.h"

namespace mica::guest {

namespace {

// file_handle with room behind it.
template <size_t kBytes>
union HandleBuffer {
  file_handle handle;
  std::array<std::byte, sizeof(file_handle) + kBytes> room;
};

uint64_t DeviceOf(const struct statx& facts) {
  return uint64_t{facts.stx_dev_major} << 32 | facts.stx_dev_minor;
}

}  // namespace

Result<ObjectKind> KindOfMode(uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return ObjectKind::kRegular;
    case S_IFDIR:
      return ObjectKind::kDirectory;
    case S_IFLNK:
      return ObjectKind::kSymlink;
    case S_IFCHR:
      return ObjectKind::kCharDevice;
    case S_IFBLK:
      return ObjectKind::kBlockDevice;
    case S_IFIFO:
      return ObjectKind::kFifo;
    case S_IFSOCK:
      return ObjectKind::kSocket;
    default:
      return Error{Errc::kCorrupt, fmt::format("an object of no known kind (mode {:o})", mode)};
  }
}

Result<void> CheckLeaf(std::string_view leaf) {
  const bool good = !leaf.empty() && leaf != "." && leaf != ".." &&
                    leaf.find_first_of(std::string_view("/\0", 2)) == std::string_view::npos;
  if (good) return {};
  return Error{Errc::kInvalidArgument, fmt::format("'{}' is no name", DisplayText(leaf))};
}

Result<FileHandles> FileHandles::Make(UniqueFd root) {
  FileHandles handles(std::move(root));
  struct statx facts{};
  if (::statx(handles.root_fd(), "", AT_EMPTY_PATH, STATX_BASIC_STATS, &facts) != 0) {
    return ErrnoError(errno, "look at the root directory");
  }
  handles.device_ = DeviceOf(facts);
  ASSIGN(const std::optional<uint64_t> inode, handles.Learn(handles.root_fd(), ""));
  handles.root_inode_ = inode.value_or(facts.stx_ino);
  return handles;
}

Result<std::optional<uint64_t>> FileHandles::Learn(int directory, const std::string& leaf) {
  const int flags = leaf.empty() ? AT_EMPTY_PATH : 0;
  struct statx facts{};
  constexpr unsigned kMask = STATX_TYPE | STATX_INO;
  if (::statx(directory, leaf.c_str(), flags | AT_SYMLINK_NOFOLLOW, kMask, &facts) != 0) {
    if (errno == ENOENT) return std::optional<uint64_t>();
    return ErrnoError(errno, fmt::format("look at '{}'", DisplayText(leaf)));
  }
  if (DeviceOf(facts) != device_) {
    return Error{
        Errc::kUnsupported,
        fmt::format("expected a file system without subvolumes and snapshots, found the "
                    "subvolume '{}'; left out of --mount-volumes, the block rule decides about it",
                    DisplayText(leaf))};
  }
  Known known;
  ASSIGN(known.kind, KindOfMode(facts.stx_mode));
  HandleBuffer<kHandleBytesMax> buffer{};
  buffer.handle.handle_bytes = kHandleBytesMax;
  int mount_id = 0;
  if (::name_to_handle_at(directory, leaf.c_str(), &buffer.handle, &mount_id, flags) != 0) {
    return ErrnoError(errno, fmt::format("the file handle of '{}'", DisplayText(leaf)));
  }
  known.length = static_cast<uint8_t>(buffer.handle.handle_bytes);
  known.type = buffer.handle.handle_type;
  std::memcpy(known.bytes.data(), buffer.room.data() + sizeof(file_handle), known.length);
  known_.insert_or_assign(facts.stx_ino, known);
  return std::optional<uint64_t>(facts.stx_ino);
}

Result<const FileHandles::Known*> FileHandles::Find(uint64_t inode) const {
  const auto found = known_.find(inode);
  if (found != known_.end()) return &found->second;
  return Error{Errc::kNotFound, fmt::format("inode {} is not in use", inode)};
}

Result<UniqueFd> FileHandles::OpenKnown(uint64_t inode, const Known& known, int flags) const {
  HandleBuffer<kHandleBytesMax> buffer{};
  buffer.handle.handle_bytes = known.length;
  buffer.handle.handle_type = known.type;
  std::memcpy(buffer.room.data() + sizeof(file_handle), known.bytes.data(), known.length);
  UniqueFd fd(::open_by_handle_at(root_.get(), &buffer.handle, flags | O_NOFOLLOW | O_CLOEXEC));
  if (fd) return fd;
  if (errno == ESTALE) {
    return Error{Errc::kNotFound, fmt::format("inode {} is not in use", inode)};
  }
  return ErrnoError(errno, fmt::format("open inode {}", inode));
}

Result<UniqueFd> FileHandles::OpenPath(uint64_t inode) const {
  ASSIGN(const Known* const known, Find(inode));
  return OpenKnown(inode, *known, O_PATH);
}

Result<UniqueFd> FileHandles::Open(uint64_t inode, int flags) const {
  ASSIGN(const Known* const known, Find(inode));
  if (known->kind != ObjectKind::kRegular && known->kind != ObjectKind::kDirectory) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("inode {} is neither a file nor a directory", inode)};
  }
  return OpenKnown(inode, *known, flags | O_NONBLOCK | O_NOATIME);
}

Result<ObjectKind> FileHandles::KindOf(uint64_t inode) const {
  ASSIGN(const Known* const known, Find(inode));
  return known->kind;
}

// The handles of XFS and btrfs, and those most others share, end with it.
Result<uint32_t> FileHandles::GenerationOf(uint64_t inode) const {
  ASSIGN(const Known* const known, Find(inode));
  uint32_t generation = 0;
  if (known->length < sizeof generation) {
    return Error{Errc::kUnsupported, "the file system has no generations of inodes"};
  }
  std::memcpy(&generation, known->bytes.data() + known->length - sizeof generation,
              sizeof generation);
  return generation;
}

}  // namespace mica::guest
