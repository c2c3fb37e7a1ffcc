// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/rescue.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "engine/base/aligned_buffer.h"
#include "engine/base/unique_fd.h"

namespace mica::rebase {

namespace {

using std::filesystem::path;

constexpr size_t kNameBytesMax = 150;
constexpr size_t kPieceBytes = size_t{1} << 20;

std::string HarmlessName(const std::string& guest_path) {
  std::string name;
  for (const char c : guest_path.substr(guest_path.starts_with('/') ? 1 : 0)) {
    const bool harmless = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '.' || c == '-';
    name += harmless ? c : '_';
  }
  if (name.size() > kNameBytesMax) name.erase(0, name.size() - kNameBytesMax);
  return name;
}

Result<void> WriteAll(int fd, ConstBytes bytes, const path& file) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoError(errno, "write " + file.string());
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return {};
}

Result<void> CopyContent(guest::Volume& volume, const guest::Object& object, int fd,
                         const path& file) {
  if (object.kind == guest::ObjectKind::kSymlink) {
    return WriteAll(fd, AsBytes(object.symlink_target + "\n"), file);
  }
  if (object.kind != guest::ObjectKind::kRegular) {
    return WriteAll(fd, AsBytes("not a file: it has no content\n"), file);
  }
  AlignedBuffer piece(kPieceBytes);
  for (uint64_t offset = 0; offset < object.size;) {
    ASSIGN(const size_t count, volume.Read(object.id.inode, offset, piece.span()));
    if (count == 0) break;
    TRY(WriteAll(fd, piece.span().first(count), file));
    offset += count;
  }
  return {};
}

}  // namespace

Result<RescuedFile> SaveRescue(guest::Volume& volume, const RescueItem& item, const path& directory,
                               size_t number) {
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return ErrnoError(errno, "create directory " + directory.string());
  }
  // A second rebase of the VM saves beside the first one's.
  path file;
  UniqueFd fd;
  for (size_t attempt = number;; ++attempt) {
    file = directory /
           fmt::format("{:04}-{}-{}", attempt, SideName(item.side), HarmlessName(item.path));
    fd = UniqueFd(::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (fd) break;
    if (errno != EEXIST) return ErrnoError(errno, "create " + file.string());
  }
  ASSIGN(const guest::Object object, volume.Stat(item.inode));
  TRY(CopyContent(volume, object, fd.get(), file));
  if (::fsync(fd.get()) != 0) return ErrnoError(errno, "sync " + file.string());
  return RescuedFile{item.path, file};
}

}  // namespace mica::rebase
