// SPDX-License-Identifier: Apache-2.0
#include "engine/io/posix_host.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/stat.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>

#include "engine/base/unique_fd.h"
#include "engine/io/aligned_file.h"
#include "engine/io/posix_file.h"

namespace mica {

namespace {

constexpr mode_t kNewFileMode = 0644;  // and the process's umask

int OpenRetrying(const std::string& path, int flags) noexcept {
  int fd = -1;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, kNewFileMode);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

struct DirectAlignment {
  uint32_t request = kDirectIoAlignment;
  uint32_t memory = kDirectIoAlignment;
};

// What the kernel says direct I/O on this file needs; a page where it does not say.
DirectAlignment DirectAlignmentOf(int fd) noexcept {
  DirectAlignment alignment;
#if defined(STATX_DIOALIGN)
  struct statx status{};
  const bool known = ::statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) == 0 &&
                     (status.stx_mask & STATX_DIOALIGN) != 0 && status.stx_dio_mem_align != 0;
  if (known && status.stx_dio_offset_align <= kDirectIoAlignment &&
      status.stx_dio_mem_align <= kDirectIoAlignment) {
    alignment = {std::max(status.stx_dio_offset_align, 512U), status.stx_dio_mem_align};
  }
#endif
  return alignment;
}

// The kernel closes the files of a killed process that used io_uring a moment after the process is
// gone; whoever restarts it at once must not be told that the image is in use.
constexpr std::chrono::milliseconds kLockPatience{1000};
constexpr std::chrono::milliseconds kLockRetryInterval{10};

Result<void> TakeLock(int fd, FileLock lock, const std::string& path) {
  if (lock == FileLock::kNone) return {};
  struct flock request{};
  request.l_type = lock == FileLock::kExclusive ? F_WRLCK : F_RDLCK;
  request.l_whence = SEEK_SET;  // from 0, length 0: all of it, however large it becomes
  if (::fcntl(fd, F_OFD_SETLK, &request) == 0) return {};
  if (errno == EAGAIN || errno == EACCES) {
    return Error{Errc::kBusy, errno,
                 fmt::format("open {}: locked by another user of the file", path)};
  }
  if (errno == EBADF) {
    return Error{Errc::kInvalidArgument, errno,
                 fmt::format("open {}: an exclusive lock needs a writable file", path)};
  }
  return ErrnoError(errno, "lock " + path);
}

Result<struct stat> CheckKind(int fd, const std::string& path) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) return ErrnoError(errno, "stat " + path);
  if (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode)) return status;
  // With an errno: it is what the host has there that is wrong, not how we were asked.
  const bool directory = S_ISDIR(status.st_mode);
  return Error{Errc::kInvalidArgument, directory ? EISDIR : EINVAL,
               fmt::format("open {}: expected a regular file or a block device, found {}", path,
                           directory ? "a directory" : "something else")};
}

struct OpenedFd {
  UniqueFd fd;
  bool direct = false;
};

Result<OpenedFd> OpenFd(const std::string& path, int flags, bool direct) {
  // Without O_NONBLOCK the open of a FIFO would wait for a peer; it is cleared again at once,
  // because some engines take it to mean that reads must not wait either.
  const int careful = flags | O_NONBLOCK;
  const bool create = (flags & O_CREAT) != 0;
  OpenedFd opened{UniqueFd(OpenRetrying(path, direct ? careful | O_DIRECT : careful)), direct};
  if (!opened.fd && direct && errno == EINVAL) {
    // The file system refuses direct I/O. Some have made the file before they refuse.
    if (create) ::unlink(path.c_str());
    opened = {UniqueFd(OpenRetrying(path, careful)), false};
  }
  if (!opened.fd) return ErrnoError(errno, fmt::format("{} {}", create ? "create" : "open", path));
  const int now = ::fcntl(opened.fd.get(), F_GETFL);
  if (now < 0 || ::fcntl(opened.fd.get(), F_SETFL, now & ~O_NONBLOCK) != 0) {
    return ErrnoError(errno, "open " + path);
  }
  return opened;
}

}  // namespace

Result<std::unique_ptr<BlockFile>> PosixHost::OpenNow(const std::string& path, int flags,
                                                      const OpenOptions& options) {
  ASSIGN(OpenedFd opened, OpenFd(path, flags, options.direct));
  ASSIGN(const struct stat status, CheckKind(opened.fd.get(), path));
  TRY(TakeLock(opened.fd.get(), options.lock, path));
  PosixFileTraits traits;
  traits.writable = options.writable;
  traits.is_block_device = S_ISBLK(status.st_mode);
  if (!opened.direct) {
    return std::make_unique<PosixFile>(engines_.buffered, std::move(opened.fd), path, traits);
  }
  const DirectAlignment alignment = DirectAlignmentOf(opened.fd.get());
  traits.direct_alignment = alignment.request;
  auto file = std::make_unique<PosixFile>(engines_.direct, std::move(opened.fd), path, traits);
  return std::make_unique<AlignedFile>(loop_, std::move(file), alignment.memory);
}

Async<std::unique_ptr<BlockFile>> PosixHost::Open(const std::filesystem::path& path,
                                                  const OpenOptions& options) {
  const std::string name = path.string();
  const OpenOptions chosen = options;  // the caller's may be gone after a wait
  const int flags = chosen.writable ? O_RDWR : O_RDONLY;
  const EventLoop::Time give_up = loop_.Now() + kLockPatience;
  for (;;) {
    Result<std::unique_ptr<BlockFile>> opened = OpenNow(name, flags, chosen);
    const bool locked = !opened && opened.error().code == Errc::kBusy;
    if (!locked || loop_.Now() >= give_up) co_return opened;
    co_await loop_.SleepUntil(loop_.Now() + kLockRetryInterval);
  }
}

Async<std::unique_ptr<BlockFile>> PosixHost::CreateExclusive(const std::filesystem::path& path,
                                                             const OpenOptions& options) {
  OpenOptions chosen = options;
  chosen.writable = true;
  Result<std::unique_ptr<BlockFile>> created =
      OpenNow(path.string(), O_RDWR | O_CREAT | O_EXCL, chosen);
  co_return created;
}

Async<FileStat> PosixHost::Stat(const std::filesystem::path& path) {
  const std::string name = path.string();
  struct stat status{};
  if (::stat(name.c_str(), &status) != 0) co_return ErrnoError(errno, "stat " + name);
  FileStat result;
  result.id.device = status.st_dev;
  result.id.inode = status.st_ino;
  result.size = static_cast<uint64_t>(status.st_size);
  result.allocated_bytes = static_cast<uint64_t>(status.st_blocks) * 512;
  result.modified_ns =
      int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + int64_t{status.st_mtim.tv_nsec};
  result.is_block_device = S_ISBLK(status.st_mode);
  if (!result.is_block_device) co_return result;
  const UniqueFd device(OpenRetrying(name, O_RDONLY | O_NONBLOCK));
  if (!device) co_return ErrnoError(errno, "stat " + name);
  CO_ASSIGN(result.size, DescriptorSize(device.get(), true, name));
  result.allocated_bytes = result.size;
  co_return result;
}

Result<HostSpace> PosixHost::Space(const std::filesystem::path& path) {
  const std::string name = path.string();
  struct statvfs status{};
  if (::statvfs(name.c_str(), &status) != 0) return ErrnoError(errno, "space of " + name);
  const uint64_t unit = status.f_frsize;
  HostSpace space;
  space.available_bytes = status.f_bavail * unit;
  space.total_bytes = (status.f_blocks - status.f_bfree) * unit + space.available_bytes;
  space.file_system = status.f_fsid;
  return space;
}

Async<void> PosixHost::Rename(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    co_return ErrnoError(errno, fmt::format("rename {} to {}", from.string(), to.string()));
  }
  co_return Result<void>();
}

Async<void> PosixHost::Link(const std::filesystem::path& existing,
                            const std::filesystem::path& name) {
  if (::link(existing.c_str(), name.c_str()) != 0) {
    co_return ErrnoError(errno, fmt::format("link {} as {}", existing.string(), name.string()));
  }
  co_return Result<void>();
}

Async<void> PosixHost::Remove(const std::filesystem::path& path) {
  if (::unlink(path.c_str()) != 0) co_return ErrnoError(errno, "remove " + path.string());
  co_return Result<void>();
}

Async<void> PosixHost::SyncDirectory(const std::filesystem::path& directory) {
  // The parent of a bare file name is the empty path, which means here.
  const std::string name = directory.empty() ? std::string(".") : directory.string();
  const UniqueFd fd(OpenRetrying(name, O_RDONLY | O_DIRECTORY));
  if (!fd) co_return ErrnoError(errno, "sync directory " + name);
  // Some file systems cannot sync a directory and say EINVAL: their names are durable otherwise.
  if (::fsync(fd.get()) != 0 && errno != EINVAL) {
    co_return ErrnoError(errno, "sync directory " + name);
  }
  co_return Result<void>();
}

}  // namespace mica
