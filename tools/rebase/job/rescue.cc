// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/rescue.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <algorithm>

#include "engine/base/aligned_buffer.h"
#include "engine/base/unique_fd.h"
#include "engine/digest.h"

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

// A new file, and what has been written to it so far.
class NewFile {
 public:
  static Result<NewFile> Create(const path& name) {
    UniqueFd fd(::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd) return ErrnoError(errno, "create " + name.string());
    return NewFile(std::move(fd), name);
  }
  Result<void> Write(ConstBytes bytes) {
    digest_.Update(bytes);
    bytes_ += bytes.size();
    while (!bytes.empty()) {
      const ssize_t count = ::write(fd_.get(), bytes.data(), bytes.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return ErrnoError(errno, "write " + name_.string());
      bytes = bytes.subspan(static_cast<size_t>(count));
    }
    return {};
  }
  Result<CopiedContent> Finish() {
    if (::fsync(fd_.get()) != 0) return ErrnoError(errno, "sync " + name_.string());
    return CopiedContent{bytes_, fmt::format("{:02x}", fmt::join(digest_.Finish(), ""))};
  }

 private:
  NewFile(UniqueFd fd, path name) : fd_(std::move(fd)), name_(std::move(name)) {}

  UniqueFd fd_;
  path name_;
  StreamDigest digest_;
  uint64_t bytes_ = 0;
};

Result<void> Copy(guest::Volume& volume, const guest::Object& object, NewFile& file) {
  if (object.kind == guest::ObjectKind::kSymlink) {
    return file.Write(AsBytes(object.symlink_target + "\n"));
  }
  if (object.kind != guest::ObjectKind::kRegular) {
    return file.Write(AsBytes("not a file: it has no content\n"));
  }
  AlignedBuffer piece(kPieceBytes);
  for (uint64_t offset = 0; offset < object.size;) {
    ASSIGN(const size_t count, volume.Read(object.id.inode, offset, piece.span()));
    if (count == 0) break;
    TRY(file.Write(piece.span().first(count)));
    offset += count;
  }
  return {};
}

}  // namespace

Result<CopiedContent> CopyContent(guest::Volume& volume, uint64_t inode, const path& file) {
  ASSIGN(const guest::Object object, volume.Stat(inode));
  ASSIGN(NewFile made, NewFile::Create(file));
  TRY(Copy(volume, object, made));
  return made.Finish();
}

Result<RescuedFile> SaveRescue(guest::Volume& volume, const RescueItem& item, const path& directory,
                               size_t number) {
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return ErrnoError(errno, "create directory " + directory.string());
  }
  // A second rebase of the VM saves beside the first one's.
  for (size_t attempt = number;; ++attempt) {
    const path file = directory / fmt::format("{:04}-{}-{}", attempt, SideName(item.side),
                                              HarmlessName(item.path));
    Result<CopiedContent> copied = CopyContent(volume, item.inode, file);
    if (copied) return RescuedFile{item.path, file, item.side, *std::move(copied)};
    if (copied.error().code != Errc::kExists) return std::move(copied).error();
  }
}

}  // namespace mica::rebase
