// SPDX-License-Identifier: Apache-2.0
#include "tools/browse/guest_extract.h"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <unordered_map>

#include "engine/base/aligned_buffer.h"
#include "tools/guest/text.h"

namespace mica {

namespace {

using std::filesystem::path;

constexpr size_t kPieceBytes = size_t{1} << 20;
constexpr size_t kDepthMax = 1000;

struct FreeArchive {
  void operator()(struct archive* archive) const { archive_write_free(archive); }
};
struct FreeEntry {
  void operator()(struct archive_entry* entry) const { archive_entry_free(entry); }
};
using Archive = std::unique_ptr<struct archive, FreeArchive>;
using Entry = std::unique_ptr<struct archive_entry, FreeEntry>;

mode_t FileType(guest::ObjectKind kind) {
  switch (kind) {
    case guest::ObjectKind::kRegular:
      return S_IFREG;
    case guest::ObjectKind::kDirectory:
      return S_IFDIR;
    case guest::ObjectKind::kSymlink:
      return S_IFLNK;
    case guest::ObjectKind::kCharDevice:
      return S_IFCHR;
    case guest::ObjectKind::kBlockDevice:
      return S_IFBLK;
    case guest::ObjectKind::kFifo:
      return S_IFIFO;
    case guest::ObjectKind::kSocket:
      return S_IFSOCK;
  }
  return S_IFREG;
}

class Extractor {
 public:
  explicit Extractor(guest::Volume& volume) : volume_(volume), disk_(archive_write_disk_new()) {
    int flags = ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_XATTR |
                ARCHIVE_EXTRACT_SPARSE | ARCHIVE_EXTRACT_SECURE_NODOTDOT |
                ARCHIVE_EXTRACT_SECURE_SYMLINKS | ARCHIVE_EXTRACT_NO_OVERWRITE;
    if (::geteuid() == 0) flags |= ARCHIVE_EXTRACT_OWNER;
    archive_write_disk_set_options(disk_.get(), flags);
  }

  Result<void> Tree(uint64_t inode, const path& to, size_t depth) {
    ASSIGN(const guest::Object object, volume_.Stat(inode));
    TRY(One(object, to));
    if (object.kind != guest::ObjectKind::kDirectory) return {};
    if (depth > kDepthMax) {
      return Error{Errc::kCorrupt,
                   fmt::format("{}: directories nest deeper than {}", to.string(), kDepthMax)};
    }
    ASSIGN(const std::vector<guest::DirectoryEntry> entries, volume_.List(inode));
    for (const guest::DirectoryEntry& entry : entries) {
      const bool possible = !entry.name.empty() && entry.name != "." && entry.name != ".." &&
                            entry.name.find('/') == std::string::npos &&
                            entry.name.find('\0') == std::string::npos;
      if (!possible) {
        return Error{Errc::kCorrupt, fmt::format("{}: expected a file name, found '{}'",
                                                 to.string(), guest::DisplayText(entry.name))};
      }
      TRY(Tree(entry.inode, to / entry.name, depth + 1));
    }
    return {};
  }

  // Directory times and modes are set last, here.
  Result<void> Finish() {
    return Check(archive_write_close(disk_.get()), "finish the directories");
  }

  [[nodiscard]] const ExtractFigures& figures() const { return figures_; }

 private:
  Result<void> One(const guest::Object& object, const path& to) {
    ++figures_.objects;
    if (object.kind == guest::ObjectKind::kSocket) return {};  // only a process can make one
    const Entry entry(archive_entry_new());
    FillEntry(entry.get(), object, to);
    const auto [first, is_first] = first_names_.emplace(object.id.inode, to);
    if (!is_first && object.kind != guest::ObjectKind::kDirectory) {
      archive_entry_set_hardlink(entry.get(), first->second.c_str());
      return Check(archive_write_header(disk_.get(), entry.get()), "link " + to.string());
    }
    TRY(Check(archive_write_header(disk_.get(), entry.get()), "create " + to.string()));
    if (object.kind == guest::ObjectKind::kRegular) TRY(Content(object, to));
    return Check(archive_write_finish_entry(disk_.get()), "finish " + to.string());
  }

  static void FillEntry(struct archive_entry* entry, const guest::Object& object, const path& to) {
    archive_entry_set_pathname(entry, to.c_str());
    archive_entry_set_mode(entry, FileType(object.kind) | object.attributes.mode);
    archive_entry_set_uid(entry, object.attributes.uid);
    archive_entry_set_gid(entry, object.attributes.gid);
    archive_entry_set_mtime(entry, object.attributes.modified.seconds,
                            static_cast<long>(object.attributes.modified.nanoseconds));
    archive_entry_set_rdevmajor(entry, object.device_major);
    archive_entry_set_rdevminor(entry, object.device_minor);
    if (object.kind == guest::ObjectKind::kRegular) {
      archive_entry_set_size(entry, static_cast<la_int64_t>(object.size));
    }
    if (object.kind == guest::ObjectKind::kSymlink) {
      archive_entry_set_symlink(entry, object.symlink_target.c_str());
    }
    for (const auto& [name, value] : object.attributes.xattrs) {
      archive_entry_xattr_add_entry(entry, name.c_str(), value.data(), value.size());
    }
  }

  Result<void> Content(const guest::Object& object, const path& to) {
    ASSIGN(const std::vector<ByteRange> stored, volume_.StoredRanges(object.id.inode));
    for (const ByteRange& range : stored) {
      for (uint64_t at = range.offset; at < std::min(range.end(), object.size);) {
        const uint64_t wanted = std::min<uint64_t>(kPieceBytes, range.end() - at);
        ASSIGN(const size_t count, volume_.Read(object.id.inode, at, piece_.span().first(wanted)));
        if (count == 0) break;
        const la_ssize_t written = archive_write_data_block(disk_.get(), piece_.data(), count,
                                                            static_cast<la_int64_t>(at));
        if (written < ARCHIVE_OK) return Check(ARCHIVE_FATAL, "write " + to.string());
        at += count;
        figures_.bytes += count;
      }
    }
    return {};
  }

  // A warning means that the object is there and an attribute could not be set: that is an error
  // here, as nobody would notice otherwise.
  Result<void> Check(int status, const std::string& action) {
    if (status >= ARCHIVE_OK) return {};
    const int host_errno = archive_errno(disk_.get());
    const char* const text = archive_error_string(disk_.get());
    Error error = ErrnoError(host_errno > 0 ? host_errno : EIO, action);
    if (text != nullptr) error.message = fmt::format("{}: {}", action, text);
    return error;
  }

  guest::Volume& volume_;
  Archive disk_;
  AlignedBuffer piece_{kPieceBytes};
  std::unordered_map<uint64_t, path> first_names_;
  ExtractFigures figures_;
};

}  // namespace

Result<ExtractFigures> ExtractTree(guest::Volume& volume, uint64_t inode, const path& destination) {
  // Symlinks in the way to the destination are the user's own and followed; below it there are none
  // but those that are made here, last in their directories.
  std::error_code failed;
  const path directory = std::filesystem::canonical(
      destination.has_parent_path() ? destination.parent_path() : ".", failed);
  if (failed) return ErrnoError(failed.value(), destination.parent_path().string());
  const path root = directory / destination.filename();
  if (std::filesystem::symlink_status(root, failed).type() !=
      std::filesystem::file_type::not_found) {
    return Error{Errc::kExists,
                 fmt::format("{}: expected a new name to extract to, found something there",
                             destination.string())};
  }
  Extractor extractor(volume);
  TRY(extractor.Tree(inode, root, 0));
  TRY(extractor.Finish());
  return extractor.figures();
}

}  // namespace mica
