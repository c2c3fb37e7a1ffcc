// SPDX-License-Identifier: Apache-2.0
#include "engine/io/posix_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

#include "engine/base/checked_math.h"
#include "engine/io/in_flight.h"

namespace mica {

namespace {

constexpr uint64_t kFileSizeMax = (uint64_t{1} << 63) - 1;  // off_t
constexpr uint64_t kTransferMax = uint64_t{1} << 30;        // one system call moves less than 2 GiB

// Answers that only ask for another try.
constexpr bool IsTransient(int64_t result) noexcept {
  return result == -EINTR || result == -EAGAIN;
}

}  // namespace

Result<uint64_t> DescriptorSize(int fd, bool is_block_device, const std::string& path) {
  if (is_block_device) {
    uint64_t size = 0;
    if (::ioctl(fd, BLKGETSIZE64, &size) != 0) return ErrnoError(errno, "size of " + path);
    return size;
  }
  struct stat status{};
  if (::fstat(fd, &status) != 0) return ErrnoError(errno, "size of " + path);
  return static_cast<uint64_t>(status.st_size);
}

PosixFile::PosixFile(IoEngine& engine, UniqueFd fd, std::string path, const PosixFileTraits& traits)
    : engine_(engine),
      fd_(std::move(fd)),
      path_(std::move(path)),
      traits_(traits),
      try_cache_(traits.direct_alignment == 0) {
  if (traits.direct_alignment != 0) limits_.request_alignment = traits.direct_alignment;
}

PosixFile::~PosixFile() {
  MICA_CHECK(in_flight_ == 0);
  // Said, not left to close(): io_uring can keep a reference to the open file until the thread of
  // the ring next enters the kernel, and a thread that waits for a child process does not.
  struct flock all{};
  all.l_type = F_UNLCK;
  all.l_whence = SEEK_SET;
  ::fcntl(fd_.get(), F_OFD_SETLK, &all);
}

Error PosixFile::ErrorAt(int host_errno, const char* action, uint64_t offset) const {
  return ErrnoError(host_errno, fmt::format("{} {} at byte {}", action, path_, offset));
}

Result<void> PosixFile::CheckWritable(const char* action) const {
  if (traits_.writable) return {};
  return Error{Errc::kReadOnly, EBADF, fmt::format("{} {}: opened read-only", action, path_)};
}

Async<uint64_t> PosixFile::Size() {
  co_return DescriptorSize(fd_.get(), traits_.is_block_device, path_);
}

uint64_t PosixFile::ReadCached(uint64_t offset, Bytes buffer) noexcept {
  const iovec target = {.iov_base = buffer.data(), .iov_len = buffer.size()};
  const ssize_t got = ::preadv2(fd_.get(), &target, 1, static_cast<off_t>(offset), RWF_NOWAIT);
  if (got < 0 && errno != EAGAIN && errno != EINTR) try_cache_ = false;  // not on this file system
  return got < 0 ? 0 : static_cast<uint64_t>(got);
}

bool PosixFile::IsEndOfFile(int64_t got, uint64_t asked) const noexcept {
  if (got == 0) return true;
  // Direct I/O stops at whole blocks for any other reason.
  return traits_.direct_alignment != 0 && static_cast<uint64_t>(got) < asked &&
         !IsAligned(static_cast<uint64_t>(got), traits_.direct_alignment);
}

Async<void> PosixFile::Read(uint64_t offset, Bytes buffer) {
  const InFlight guard(in_flight_);
  if (!FitsInside(ByteRange{offset, buffer.size()}, kFileSizeMax)) {
    co_return ErrorAt(EINVAL, "read", offset);
  }
  if (try_cache_ && !buffer.empty()) {
    const uint64_t got = ReadCached(offset, buffer);
    offset += got;
    buffer = buffer.subspan(got);
  }
  while (!buffer.empty()) {
    const uint64_t length = std::min<uint64_t>(buffer.size(), kTransferMax);
    IoOp op = IoOp::Read(fd_.get(), offset, buffer.first(length));
    IoWait wait(engine_, op);
    const int64_t got = co_await wait;
    if (IsTransient(got)) continue;
    if (got < 0) co_return ErrorAt(static_cast<int>(-got), "read", offset);
    offset += static_cast<uint64_t>(got);
    buffer = buffer.subspan(static_cast<size_t>(got));
    if (!IsEndOfFile(got, length)) continue;
    FillZero(buffer);
    break;
  }
  co_return Result<void>();
}

Async<void> PosixFile::Write(uint64_t offset, ConstBytes buffer) {
  const InFlight guard(in_flight_);
  CO_TRY(CheckWritable("write"));
  if (!FitsInside(ByteRange{offset, buffer.size()}, kFileSizeMax)) {
    co_return ErrorAt(EFBIG, "write", offset);
  }
  while (!buffer.empty()) {
    const uint64_t length = std::min<uint64_t>(buffer.size(), kTransferMax);
    IoOp op = IoOp::Write(fd_.get(), offset, buffer.first(length));
    IoWait wait(engine_, op);
    const int64_t put = co_await wait;
    if (IsTransient(put)) continue;
    if (put < 0) co_return ErrorAt(static_cast<int>(-put), "write", offset);
    if (put == 0) co_return ErrorAt(ENOSPC, "write", offset);  // the end of a block device
    offset += static_cast<uint64_t>(put);
    buffer = buffer.subspan(static_cast<size_t>(put));
  }
  co_return Result<void>();
}

Async<void> PosixFile::Fallocate(int mode, ByteRange range, const char* action) {
  const InFlight guard(in_flight_);
  CO_TRY(CheckWritable(action));
  if (!FitsInside(range, kFileSizeMax)) co_return ErrorAt(EFBIG, action, range.offset);
  if (range.empty()) co_return Result<void>();
  int64_t result = -EINTR;
  while (IsTransient(result)) {
    IoOp op = IoOp::Fallocate(fd_.get(), mode, range);
    IoWait wait(engine_, op);
    result = co_await wait;
  }
  if (result >= 0) co_return Result<void>();
  // A block device says EINVAL to what is not a whole number of its sectors.
  if (result == -EINVAL && traits_.is_block_device) result = -EOPNOTSUPP;
  co_return ErrorAt(static_cast<int>(-result), action, range.offset);
}

Async<void> PosixFile::WriteZeroes(ByteRange range, ZeroMode mode) {
  if (mode == ZeroMode::kDeallocate) {
    return Fallocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, range, "deallocate");
  }
  return Fallocate(FALLOC_FL_ZERO_RANGE, range, "write zeroes");
}

Async<void> PosixFile::Allocate(ByteRange range) {
  // A block device says EOPNOTSUPP: it may be thinly provisioned and promise nothing.
  return Fallocate(0, range, "allocate");
}

Async<void> PosixFile::Sync() {
  const InFlight guard(in_flight_);
  if (sync_errno_ == 0) {
    int64_t result = -EINTR;
    while (result == -EINTR) {
      IoOp op = IoOp::DataSync(fd_.get());
      IoWait wait(engine_, op);
      result = co_await wait;
    }
    // The kernel reports a failed write-back once and forgets it; we do not.
    if (result >= 0 && sync_errno_ == 0) co_return Result<void>();
    if (sync_errno_ == 0) {
      sync_errno_ = static_cast<int>(-result);
      co_return ErrnoError(sync_errno_, "sync " + path_);
    }
  }
  co_return ErrnoError(sync_errno_, "sync " + path_ + " (an earlier sync failed; reopen it)");
}

Async<void> PosixFile::Resize(uint64_t size) {
  CO_TRY(CheckWritable("resize"));
  if (size > kFileSizeMax) co_return ErrorAt(EFBIG, "resize", size);
  if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) {
    co_return ErrorAt(errno, "resize", size);
  }
  co_return Result<void>();
}

}  // namespace mica
