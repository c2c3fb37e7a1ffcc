// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/mounted/mounted_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "tools/guest/mounted/object_facts.h"

namespace mica::guest {

namespace {

// A directory of more entries is refused: its listing would not fit into memory.
constexpr size_t kEntriesMax = 50'000'000;
constexpr size_t kRangesMax = 1'000'000;

struct CloseDirectory {
  void operator()(DIR* directory) const noexcept { ::closedir(directory); }
};
using OpenDirectory = std::unique_ptr<DIR, CloseDirectory>;

Error InodeError(std::string_view what, uint64_t inode) {
  return ErrnoError(errno, fmt::format("{} inode {}", what, inode));
}

}  // namespace

Result<std::unique_ptr<MountedTree>> MountedTree::Open(UniqueFd root) {
  ASSIGN(FileHandles handles, FileHandles::Make(std::move(root)));
  return std::unique_ptr<MountedTree>(new MountedTree(std::move(handles)));
}

Result<Object> MountedTree::Stat(uint64_t inode) {
  return ReadObject(handles_, inode);
}

Result<std::optional<uint64_t>> MountedTree::LookupIn(uint64_t directory, std::string_view leaf) {
  if (!CheckLeaf(leaf)) return std::optional<uint64_t>();
  ASSIGN(const ObjectKind kind, handles_.KindOf(directory));
  if (kind != ObjectKind::kDirectory) {
    return Error{Errc::kInvalidArgument, fmt::format("inode {} is no directory", directory)};
  }
  ASSIGN(const UniqueFd fd, handles_.OpenPath(directory));
  return handles_.Learn(fd.get(), std::string(leaf));
}

Result<std::vector<DirectoryEntry>> MountedTree::List(uint64_t directory) {
  ASSIGN(const UniqueFd fd, handles_.Open(directory, O_RDONLY | O_DIRECTORY));
  const int own = ::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0);
  const OpenDirectory stream(own < 0 ? nullptr : ::fdopendir(own));
  if (stream == nullptr) return InodeError("open the directory", directory);
  std::vector<DirectoryEntry> entries;
  for (errno = 0; const dirent* const found = ::readdir(stream.get()); errno = 0) {
    DirectoryEntry entry{found->d_name, 0, ObjectKind::kRegular};
    if (!CheckLeaf(entry.name)) continue;  // "." and ".."
    if (entries.size() == kEntriesMax) {
      return Error{Errc::kLimit, fmt::format("directory inode {} has more than {} entries",
                                             directory, kEntriesMax)};
    }
    ASSIGN(const std::optional<uint64_t> inode, handles_.Learn(fd.get(), entry.name));
    if (!inode) {
      return Error{Errc::kCorrupt, fmt::format("directory inode {} lists '{}' and has it not",
                                               directory, entry.name)};
    }
    entry.inode = *inode;
    ASSIGN(entry.kind, handles_.KindOf(*inode));
    entries.push_back(std::move(entry));
  }
  if (errno != 0) return InodeError("read the directory", directory);
  std::ranges::sort(entries, {}, &DirectoryEntry::name);
  return entries;
}

Result<int> MountedTree::File(uint64_t inode, int access) {
  if (file_ && file_inode_ == inode && file_access_ == access) return file_.get();
  file_.Close();
  ASSIGN(const ObjectKind kind, handles_.KindOf(inode));
  if (kind != ObjectKind::kRegular) {
    return Error{Errc::kInvalidArgument, fmt::format("inode {} is not a regular file", inode)};
  }
  ASSIGN(file_, handles_.Open(inode, access));
  file_inode_ = inode;
  file_access_ = access;
  return file_.get();
}

Result<size_t> MountedTree::Read(uint64_t inode, uint64_t offset, Bytes buffer) {
  if (offset > static_cast<uint64_t>(std::numeric_limits<off_t>::max())) return size_t{0};
  ASSIGN(const int fd, File(inode, O_RDONLY));
  while (true) {
    const ssize_t got = ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(offset));
    if (got >= 0) return static_cast<size_t>(got);
    if (errno != EINTR) return InodeError("read", inode);
  }
}

Result<std::vector<ByteRange>> MountedTree::StoredRanges(uint64_t inode) {
  ASSIGN(const int fd, File(inode, O_RDONLY));
  std::vector<ByteRange> ranges;
  for (off_t at = 0;;) {
    const off_t data = ::lseek(fd, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) return ranges;
    const off_t hole = data < 0 ? -1 : ::lseek(fd, data, SEEK_HOLE);
    if (hole <= data) return InodeError("find the holes of", inode);
    if (ranges.size() == kRangesMax) {
      return Error{Errc::kLimit, fmt::format("inode {} has more than {} holes", inode, kRangesMax)};
    }
    ranges.push_back(RangeBetween(static_cast<uint64_t>(data), static_cast<uint64_t>(hole)));
    at = hole;
  }
}

Result<void> MountedTree::Sync() {
  if (::syncfs(handles_.root_fd()) != 0) return ErrnoError(errno, "sync the file system");
  return {};
}

}  // namespace mica::guest
