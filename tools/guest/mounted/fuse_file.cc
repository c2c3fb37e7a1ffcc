// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/mounted/fuse_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "engine/base/aligned_buffer.h"
#include "engine/base/bytes.h"

namespace mica::guest {

namespace {

constexpr double kForever = 86400.0 * 365;  // seconds; nothing changes behind the kernel's back
constexpr uint32_t kRequestsAtOnce = 64;
// The largest write that libfuse agrees to, and what stands before it.
constexpr size_t kRequestBytesMax = (size_t{1} << 20) + 4096;

FuseFile& Self(fuse_req_t request) {
  return *static_cast<FuseFile*>(fuse_req_userdata(request));
}

struct stat AttributesOf(const BlockDevice& device) {
  struct stat attributes{};
  attributes.st_ino = FUSE_ROOT_ID;
  attributes.st_mode = S_IFREG | 0600;
  attributes.st_nlink = 1;
  attributes.st_size = static_cast<off_t>(device.info().size);
  attributes.st_blksize = 4096;
  attributes.st_blocks = attributes.st_size / 512;
  return attributes;
}

}  // namespace

struct FuseFile::Operations {
  static void Init(void* /*self*/, fuse_conn_info* connection) {
    connection->max_background = kRequestsAtOnce;
  }

  static void GetAttributes(fuse_req_t request, fuse_ino_t /*inode*/, fuse_file_info* /*file*/) {
    const struct stat attributes = AttributesOf(Self(request).device_);
    fuse_reply_attr(request, &attributes, kForever);
  }

  // Times and modes are nobody's business, and a device keeps its size.
  static void SetAttributes(fuse_req_t request, fuse_ino_t inode, struct stat* /*attributes*/,
                            int to_set, fuse_file_info* file) {
    if ((to_set & FUSE_SET_ATTR_SIZE) != 0) {
      fuse_reply_err(request, EINVAL);
    } else {
      GetAttributes(request, inode, file);
    }
  }

  static void Open(fuse_req_t request, fuse_ino_t /*inode*/, fuse_file_info* file) {
    file->keep_cache = 1;
    fuse_reply_open(request, file);
  }

  static void Read(fuse_req_t request, fuse_ino_t /*inode*/, size_t length, off_t offset,
                   fuse_file_info* /*file*/) {
    FuseFile& self = Self(request);
    self.Start(self.Read(request, static_cast<uint64_t>(offset), length));
  }

  static void Write(fuse_req_t request, fuse_ino_t /*inode*/, const char* data, size_t length,
                    off_t offset, fuse_file_info* /*file*/) {
    FuseFile& self = Self(request);
    const ConstBytes bytes = std::as_bytes(std::span(data, length));
    self.Start(self.Write(request, static_cast<uint64_t>(offset),
                          std::vector<std::byte>(bytes.begin(), bytes.end())));
  }

  static void Allocate(fuse_req_t request, fuse_ino_t /*inode*/, int mode, off_t offset,
                       off_t length, fuse_file_info* /*file*/) {
    FuseFile& self = Self(request);
    if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) == 0) {
      fuse_reply_err(request, EOPNOTSUPP);
      return;
    }
    self.Start(self.Zero(request, {static_cast<uint64_t>(offset), static_cast<uint64_t>(length)}));
  }

  // What is served is a scratch layer or a delta that has no name yet: whoever gives it one flushes
  // it first.
  static void Sync(fuse_req_t request, fuse_ino_t /*inode*/, int /*data_only*/,
                   fuse_file_info* /*file*/) {
    fuse_reply_err(request, 0);
  }

  static fuse_lowlevel_ops Table() {
    fuse_lowlevel_ops table{};
    table.init = Init;
    table.getattr = GetAttributes;
    table.setattr = SetAttributes;
    table.open = Open;
    table.read = Read;
    table.write = Write;
    table.fallocate = Allocate;
    table.fsync = Sync;
    return table;
  }
};

Result<std::unique_ptr<FuseFile>> FuseFile::Serve(EventLoop& loop, BlockDevice& device,
                                                  UniqueFd fuse) {
  if (::fcntl(fuse.get(), F_SETFL, O_RDWR | O_NONBLOCK) != 0) {
    return ErrnoError(errno, "set up /dev/fuse");
  }
  std::unique_ptr<FuseFile> file(new FuseFile(loop, device, std::move(fuse)));
  file->request_.resize(kRequestBytesMax);
  static const fuse_lowlevel_ops kOperations = Operations::Table();
  char name[] = "mica";
  char* words[] = {name, nullptr};
  fuse_args arguments = FUSE_ARGS_INIT(1, words);
  file->session_ = fuse_session_new(&arguments, &kOperations, sizeof kOperations, file.get());
  fuse_opt_free_args(&arguments);
  if (file->session_ == nullptr) return Error{Errc::kIo, "libfuse: no session"};
  // Mounting is done elsewhere. The session closes what it is given.
  const int given = ::fcntl(file->fd_.get(), F_DUPFD_CLOEXEC, 0);
  if (given < 0) return ErrnoError(errno, "duplicate /dev/fuse");
  const std::string mounted = fmt::format("/dev/fd/{}", given);
  if (fuse_session_mount(file->session_, mounted.c_str()) != 0) {
    ::close(given);
    return Error{Errc::kIo, "libfuse: /dev/fuse cannot be used"};
  }
  loop.Spawn(file->Run());
  return file;
}

FuseFile::~FuseFile() {
  if (session_ != nullptr) fuse_session_destroy(session_);
}

Task<void> FuseFile::Run() {
  while (fuse_session_exited(session_) == 0) {
    const Result<void> ready = co_await loop_.WaitReady(fd_.get(), Readiness::kReadable);
    if (!ready) break;
    while (TakeRequest()) {
    }
  }
  ended_ = true;
}

// False when there is none now.
bool FuseFile::TakeRequest() {
  // Not libfuse's own way to read, which complains when it ends.
  const ssize_t got = ::read(fd_.get(), request_.data(), request_.size());
  if (got < 0 && (errno == EINTR || errno == ENOENT)) return true;  // ENOENT: it was withdrawn
  if (got < 0 && errno == EAGAIN) return false;
  if (got <= 0) {
    fuse_session_exit(session_);
    return false;
  }
  fuse_buf buffer{};
  buffer.mem = request_.data();
  buffer.size = static_cast<size_t>(got);
  fuse_session_process_buf(session_, &buffer);
  return fuse_session_exited(session_) == 0;
}

int FuseFile::Note(const Error& error) {
  if (!failed_) failed_ = error;
  return error.code == Errc::kNoSpace ? ENOSPC : EIO;
}

Task<void> FuseFile::Read(fuse_req_t request, uint64_t offset, size_t length) {
  ++in_flight_;
  const uint64_t size = device_.info().size;
  const size_t here = offset >= size ? 0 : std::min<uint64_t>(length, size - offset);
  AlignedBuffer buffer(here);
  const Result<void> done = co_await device_.Read(offset, buffer.span());
  if (done) {
    fuse_reply_buf(request, AsText(buffer.span()).data(), here);
  } else {
    fuse_reply_err(request, Note(done.error()));
  }
  --in_flight_;
}

Task<void> FuseFile::Write(fuse_req_t request, uint64_t offset, std::vector<std::byte> bytes) {
  ++in_flight_;
  const Result<void> done = co_await device_.Write(offset, bytes, Durability::kVolatile);
  if (done) {
    fuse_reply_write(request, bytes.size());
  } else {
    fuse_reply_err(request, Note(done.error()));
  }
  --in_flight_;
}

Task<void> FuseFile::Zero(fuse_req_t request, ByteRange range) {
  ++in_flight_;
  const Result<void> done =
      co_await device_.WriteZeroes(range, ZeroHint::kMayUnmap, Durability::kVolatile);
  fuse_reply_err(request, done ? 0 : Note(done.error()));
  --in_flight_;
}

}  // namespace mica::guest
