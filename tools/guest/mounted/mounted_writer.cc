// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/mounted/mounted_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "tools/guest/mounted/object_facts.h"
#include "tools/guest/text.h"

namespace mica::guest {

namespace {

constexpr uint32_t kForbidding = FS_IMMUTABLE_FL | FS_APPEND_FL;
constexpr mode_t kModeAtFirst = 0600;  // attributes come last

Error EntryError(std::string_view what, std::string_view leaf) {
  return ErrnoError(errno, fmt::format("{} '{}'", what, DisplayText(leaf)));
}

// Makes the object; what is open of it is closed again.
int MakeEntry(int directory, const char* leaf, const NewObject& object) {
  const dev_t device = ::makedev(object.device_major, object.device_minor);
  switch (object.kind) {
    case ObjectKind::kRegular: {
      const UniqueFd made(::openat(
          directory, leaf, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, kModeAtFirst));
      return made ? 0 : -1;
    }
    case ObjectKind::kDirectory:
      return ::mkdirat(directory, leaf, 0700);
    case ObjectKind::kSymlink:
      return ::symlinkat(object.symlink_target.c_str(), directory, leaf);
    case ObjectKind::kCharDevice:
      return ::mknodat(directory, leaf, S_IFCHR | kModeAtFirst, device);
    case ObjectKind::kBlockDevice:
      return ::mknodat(directory, leaf, S_IFBLK | kModeAtFirst, device);
    case ObjectKind::kFifo:
      return ::mknodat(directory, leaf, S_IFIFO | kModeAtFirst, 0);
    case ObjectKind::kSocket:
      return ::mknodat(directory, leaf, S_IFSOCK | kModeAtFirst, 0);
  }
  errno = EINVAL;
  return -1;
}

// Content through the tree's open file.
class MountedContent final : public ContentWriter {
 public:
  MountedContent(MountedTree& tree, uint64_t inode) : tree_(tree), inode_(inode) {}

  Result<void> Write(uint64_t offset, ConstBytes data) override {
    ASSIGN(const int fd, tree_.File(inode_, O_RDWR));
    while (!data.empty()) {
      const ssize_t done = ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
      if (done < 0 && errno == EINTR) continue;
      if (done <= 0) return Failed("write");
      data = data.subspan(static_cast<size_t>(done));
      offset += static_cast<uint64_t>(done);
    }
    return {};
  }
  Result<void> Resize(uint64_t size) override {
    ASSIGN(const int fd, tree_.File(inode_, O_RDWR));
    if (::ftruncate(fd, static_cast<off_t>(size)) != 0) return Failed("resize");
    return {};
  }
  Result<void> Punch(ByteRange range) override {
    ASSIGN(const int fd, tree_.File(inode_, O_RDWR));
    if (::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                    static_cast<off_t>(range.offset), static_cast<off_t>(range.length)) != 0) {
      return Failed("punch a hole into");
    }
    return {};
  }
  Result<void> Finish() override {
    tree_.CloseFile();
    return {};
  }

 private:
  [[nodiscard]] Error Failed(std::string_view what) const {
    return ErrnoError(errno, fmt::format("{} inode {}", what, inode_));
  }

  MountedTree& tree_;
  uint64_t inode_;
};

}  // namespace

Result<void> MountedWriter::Lift(uint64_t inode) {
  if (lifted_.contains(inode)) return {};
  ASSIGN(const uint32_t flags, ReadFlags(tree_.handles(), inode));
  if ((flags & kForbidding) == 0) return {};
  TRY(WriteFlags(tree_.handles(), inode, flags & ~kForbidding));
  lifted_.emplace(inode, flags);
  return {};
}

Result<UniqueFd> MountedWriter::Directory(uint64_t inode) {
  ASSIGN(const ObjectKind kind, tree_.handles().KindOf(inode));
  if (kind != ObjectKind::kDirectory) {
    return Error{Errc::kInvalidArgument, fmt::format("inode {} is no directory", inode)};
  }
  TRY(Lift(inode));
  return tree_.handles().OpenPath(inode);
}

// An immutable object keeps its names too.
Result<void> MountedWriter::LiftEntry(int directory, std::string_view leaf) {
  ASSIGN(const std::optional<uint64_t> inode, tree_.handles().Learn(directory, std::string(leaf)));
  if (inode) return Lift(*inode);
  return Error{Errc::kNotFound, fmt::format("no entry '{}'", DisplayText(leaf))};
}

Result<uint64_t> MountedWriter::Create(const Place& at, const NewObject& object) {
  TRY(CheckLeaf(at.leaf));
  ASSIGN(const UniqueFd directory, Directory(at.directory));
  const std::string leaf(at.leaf);
  if (MakeEntry(directory.get(), leaf.c_str(), object) != 0) return EntryError("create", leaf);
  ASSIGN(const std::optional<uint64_t> inode, tree_.handles().Learn(directory.get(), leaf));
  if (!inode) return Error{Errc::kIo, fmt::format("'{}' is gone", DisplayText(leaf))};
  lifted_.erase(*inode);  // of an earlier object of that number
  return *inode;
}

Result<void> MountedWriter::Link(const Place& at, uint64_t inode) {
  TRY(CheckLeaf(at.leaf));
  ASSIGN(const UniqueFd directory, Directory(at.directory));
  TRY(Lift(inode));
  ASSIGN(const UniqueFd object, tree_.handles().OpenPath(inode));
  const std::string leaf(at.leaf);
  if (::linkat(object.get(), "", directory.get(), leaf.c_str(), AT_EMPTY_PATH) != 0) {
    return EntryError("link", leaf);
  }
  return {};
}

Result<void> MountedWriter::Remove(const Place& at) {
  TRY(CheckLeaf(at.leaf));
  ASSIGN(const UniqueFd directory, Directory(at.directory));
  TRY(LiftEntry(directory.get(), at.leaf));
  tree_.CloseFile();
  const std::string leaf(at.leaf);
  ASSIGN(const std::optional<uint64_t> inode, tree_.handles().Learn(directory.get(), leaf));
  ASSIGN(const ObjectKind kind, tree_.handles().KindOf(inode.value_or(0)));
  const int flags = kind == ObjectKind::kDirectory ? AT_REMOVEDIR : 0;
  if (::unlinkat(directory.get(), leaf.c_str(), flags) != 0) return EntryError("remove", leaf);
  return {};
}

Result<void> MountedWriter::Rename(const Place& from, const Place& to) {
  TRY(CheckLeaf(from.leaf));
  TRY(CheckLeaf(to.leaf));
  ASSIGN(const UniqueFd source, Directory(from.directory));
  ASSIGN(const UniqueFd target, Directory(to.directory));
  TRY(LiftEntry(source.get(), from.leaf));
  const std::string old_leaf(from.leaf);
  const std::string new_leaf(to.leaf);
  if (::renameat2(source.get(), old_leaf.c_str(), target.get(), new_leaf.c_str(),
                  RENAME_NOREPLACE) != 0) {
    return EntryError("rename", old_leaf);
  }
  return {};
}

Result<void> MountedWriter::SetAttributes(uint64_t inode, const Attributes& attributes) {
  TRY(Lift(inode));
  TRY(WriteAttributes(tree_.handles(), inode, attributes));
  lifted_.erase(inode);
  return {};
}

Result<std::unique_ptr<ContentWriter>> MountedWriter::OpenContent(uint64_t inode) {
  TRY(Lift(inode));
  return std::unique_ptr<ContentWriter>(std::make_unique<MountedContent>(tree_, inode));
}

Result<Object> MountedWriter::Stat(uint64_t inode) {
  ASSIGN(Object object, tree_.Stat(inode));
  const auto lifted = lifted_.find(inode);
  if (lifted != lifted_.end()) object.attributes.flags |= lifted->second & kForbidding;
  return object;
}

Result<void> MountedWriter::Finish() {
  for (const auto& [inode, flags] : lifted_) {
    const Result<void> restored = WriteFlags(tree_.handles(), inode, flags);
    // What was deleted needs no flags.
    if (!restored && restored.error().code != Errc::kNotFound) return restored.error();
  }
  lifted_.clear();
  return tree_.Sync();
}

}  // namespace mica::guest
