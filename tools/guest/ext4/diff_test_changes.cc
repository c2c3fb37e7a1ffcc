// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/diff_test_changes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "engine/base/unique_fd.h"
#include "tools/guest/ext4/diff_test_support.h"

namespace mica::guest::testing {

namespace fs = std::filesystem;

namespace {

// A name space of our own, so that other processes rarely copy a mount of ours into theirs. In a
// chroot "/" is no mount and cannot be made private: then mounts are seen outside too.
bool HasOwnMounts() {
  static const bool own = ::unshare(CLONE_NEWNS) == 0;
  if (own) ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
  return own;
}

}  // namespace

LoopMount::LoopMount(const std::string& image, std::string path) : path_(std::move(path)) {
  if (!HasOwnMounts()) return;
  fs::create_directories(path_);
  Shell(fmt::format("mount -o loop {} {}", image, path_));
  mounted_ = fs::exists(path_ + "/lost+found");
}

LoopMount::~LoopMount() {
  if (!mounted_) return;
  // Where another process has copied the mount all the same, unmounting alone would write nothing.
  Shell(fmt::format("mount -o remount,ro {}", path_));
  Shell(fmt::format("umount {}", path_));
}

RandomChanges::RandomChanges(fs::path root, Prng& random)
    : root_(std::move(root)), random_(random) {}

void RandomChanges::Run(uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    if (i % 8 == 0) Look();
    Step();
  }
}

void RandomChanges::Look() {
  files_.clear();
  directories_.clear();
  std::error_code error;
  for (auto at = fs::recursive_directory_iterator(root_, error);
       at != fs::recursive_directory_iterator(); at.increment(error)) {
    if (at->path().filename() == "lost+found") {
      at.disable_recursion_pending();
    } else if (at->is_directory(error) && !at->is_symlink(error)) {
      directories_.push_back(at->path());
    } else {
      files_.push_back(at->path());
    }
  }
  // The order of a hashed directory follows from a random seed of the file system.
  std::ranges::sort(files_);
  std::ranges::sort(directories_);
}

void RandomChanges::Step() {
  using Change = void (RandomChanges::*)();
  static constexpr Change kChanges[] = {
      &RandomChanges::Create,        &RandomChanges::Create,
      &RandomChanges::Create,        &RandomChanges::WriteInPlace,
      &RandomChanges::WriteInPlace,  &RandomChanges::Resize,
      &RandomChanges::PunchHole,     &RandomChanges::SaveByRename,
      &RandomChanges::RenameFile,    &RandomChanges::MoveDirectory,
      &RandomChanges::MakeDirectory, &RandomChanges::FillDirectory,
      &RandomChanges::Link,          &RandomChanges::Symlink,
      &RandomChanges::MakeSpecial,   &RandomChanges::ChangeKind,
      &RandomChanges::Delete,        &RandomChanges::DeleteTree,
      &RandomChanges::ChangeXattr,   &RandomChanges::ChangeOwnerAndMode,
      &RandomChanges::ChangeTime,    &RandomChanges::RecreateDirectory,
      &RandomChanges::ChangeXattr,   &RandomChanges::MakeFragmented,
  };
  (this->*kChanges[random_.Below(std::size(kChanges))])();
}

std::string RandomChanges::Letters(uint64_t count) {
  std::string text;
  while (text.size() < count) text += static_cast<char>('a' + random_.Below(26));
  return text;
}

fs::path RandomChanges::NewPath() {
  return AnyDirectory() / Letters(1 + random_.Below(40));
}

std::optional<fs::path> RandomChanges::AnyFile() {
  if (files_.empty()) return std::nullopt;
  return files_[random_.Below(files_.size())];
}

fs::path RandomChanges::AnyDirectory() {
  if (directories_.empty() || random_.OneIn(6)) return root_;
  return directories_[random_.Below(directories_.size())];
}

std::optional<fs::path> RandomChanges::AnySubdirectory() {
  if (directories_.empty()) return std::nullopt;
  return directories_[random_.Below(directories_.size())];
}

void RandomChanges::WriteFile(const fs::path& path, uint64_t bytes) {
  std::string content(bytes, '\0');
  for (size_t i = 0; i < content.size(); i += 8) content[i] = static_cast<char>(random_.Next());
  std::ofstream(path, std::ios::binary) << content;
}

void RandomChanges::Create() {
  constexpr uint64_t kSizes[] = {0, 30, 200, 5000, 20000, 150000};
  const fs::path path = NewPath();
  WriteFile(path, random_.Below(kSizes[random_.Below(std::size(kSizes))] + 1));
  files_.push_back(path);
}

// Enough extents for a tree of them outside the inode.
void RandomChanges::MakeFragmented() {
  if (!random_.OneIn(4)) return;
  const fs::path path = NewPath();
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  if (!fd) return;
  const std::string text = Letters(100);
  const uint64_t count = 5 + random_.Below(600);
  for (uint64_t i = 0; i < count; ++i) {
    if (::pwrite(fd.get(), text.data(), text.size(), static_cast<off_t>(i * 8192)) < 0) return;
  }
  files_.push_back(path);
}

void RandomChanges::WriteInPlace() {
  const auto path = AnyFile();
  if (!path || !fs::is_regular_file(fs::symlink_status(*path))) return;
  const UniqueFd fd(::open(path->c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC));
  struct stat before{};
  if (!fd || ::fstat(fd.get(), &before) != 0) return;
  const std::string text = Letters(1 + random_.Below(6000));
  const auto at = static_cast<off_t>(random_.Below(static_cast<uint64_t>(before.st_size) + 3000));
  if (::pwrite(fd.get(), text.data(), text.size(), at) < 0) return;
  // As a program that hides its change would.
  const timespec times[] = {before.st_atim, before.st_mtim};
  if (random_.OneIn(3)) ::futimens(fd.get(), times);
}

void RandomChanges::Resize() {
  const auto path = AnyFile();
  if (!path) return;
  // Always through a descriptor: truncation by path is not safe on every kernel.
  const UniqueFd fd(::open(path->c_str(), O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (fd) [[maybe_unused]]
    const int done = ::ftruncate(fd.get(), static_cast<off_t>(random_.Below(60000)));
}

void RandomChanges::PunchHole() {
  const auto path = AnyFile();
  if (!path) return;
  const UniqueFd fd(::open(path->c_str(), O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return;
  const int mode =
      random_.OneIn(2) ? FALLOC_FL_KEEP_SIZE : FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  ::fallocate(fd.get(), mode, static_cast<off_t>(random_.Below(40000)),
              static_cast<off_t>(1 + random_.Below(30000)));
}

void RandomChanges::SaveByRename() {
  const auto path = AnyFile();
  if (!path) return;
  const fs::path temporary = path->parent_path() / (Letters(5) + ".tmp");
  WriteFile(temporary, random_.Below(9000));
  ::rename(temporary.c_str(), path->c_str());
}

void RandomChanges::RenameFile() {
  const auto path = AnyFile();
  if (!path) return;
  const auto other = AnyFile();
  const fs::path to = random_.OneIn(4) ? *other : NewPath();
  ::rename(path->c_str(), to.c_str());
}

void RandomChanges::MoveDirectory() {
  const auto path = AnySubdirectory();
  if (path) ::rename(path->c_str(), NewPath().c_str());
}

// Another directory under the old name, often with the old inode number.
void RandomChanges::RecreateDirectory() {
  const auto path = AnySubdirectory();
  if (!path) return;
  const fs::path aside = root_ / Letters(12);
  if (::mkdir(aside.c_str(), 0700) != 0) return;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(*path, error)) {
    ::rename(entry.path().c_str(), (aside / entry.path().filename()).c_str());
  }
  ::rmdir(path->c_str());
  ::mkdir(path->c_str(), 0755);
  for (const auto& entry : fs::directory_iterator(aside, error)) {
    ::rename(entry.path().c_str(), (*path / entry.path().filename()).c_str());
  }
  ::rmdir(aside.c_str());
}

void RandomChanges::MakeDirectory() {
  const fs::path path = NewPath();
  if (::mkdir(path.c_str(), 0755) == 0) directories_.push_back(path);
}

// Enough names to split the leaves of a hashed directory.
void RandomChanges::FillDirectory() {
  if (!random_.OneIn(3)) return;
  const fs::path directory = AnyDirectory();
  const uint64_t count = 20 + random_.Below(150);
  for (uint64_t i = 0; i < count; ++i) {
    const fs::path path = directory / Letters(30 + random_.Below(60));
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  }
}

void RandomChanges::Link() {
  const auto path = AnyFile();
  if (path) ::link(path->c_str(), NewPath().c_str());
}

void RandomChanges::Symlink() {
  constexpr uint64_t kLengths[] = {10, 59, 60, 61, 500};
  const std::string target = Letters(kLengths[random_.Below(std::size(kLengths))]);
  ::symlink(target.c_str(), NewPath().c_str());
}

void RandomChanges::MakeSpecial() {
  constexpr mode_t kKinds[] = {S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK};
  const mode_t kind = kKinds[random_.Below(std::size(kKinds))];
  ::mknod(NewPath().c_str(), kind | 0600,
          makedev(static_cast<unsigned>(random_.Below(300)),
                  static_cast<unsigned>(random_.Below(300))));
}

void RandomChanges::ChangeKind() {
  const auto path = AnyFile();
  if (!path || ::unlink(path->c_str()) != 0) return;
  if (random_.OneIn(2)) {
    ::mkdir(path->c_str(), 0700);
  } else {
    ::symlink("elsewhere", path->c_str());
  }
}

void RandomChanges::Delete() {
  const auto path = AnyFile();
  if (path) ::unlink(path->c_str());
}

void RandomChanges::DeleteTree() {
  const auto path = AnySubdirectory();
  if (!path || !random_.OneIn(4)) return;
  std::error_code error;
  fs::remove_all(*path, error);
}

void RandomChanges::ChangeOwnerAndMode() {
  const auto file = AnyFile();
  const fs::path path = file && random_.OneIn(2) ? *file : AnyDirectory();
  [[maybe_unused]] const int done =
      ::lchown(path.c_str(), static_cast<uid_t>(random_.Below(100000)),
               static_cast<gid_t>(random_.Below(100000)));
  if (!fs::is_symlink(fs::symlink_status(path))) {
    ::chmod(path.c_str(), static_cast<mode_t>(0600 | random_.Below(0200)));
  }
}

void RandomChanges::ChangeXattr() {
  const auto file = AnyFile();
  const fs::path path = file && random_.OneIn(2) ? *file : AnyDirectory();
  // Few values, so that inodes come to share attribute blocks.
  const std::string name = fmt::format("trusted.n{}", random_.Below(3));
  // The longest only where values may have an inode of their own.
  constexpr uint64_t kLengths[] = {20, 20, 700, 800, 900, 9000};
  const std::string value(kLengths[random_.Below(std::size(kLengths))], 'v');
  if (random_.OneIn(4)) {
    ::lremovexattr(path.c_str(), name.c_str());
  } else {
    ::lsetxattr(path.c_str(), name.c_str(), value.data(), value.size(), 0);
  }
}

void RandomChanges::ChangeTime() {
  const auto file = AnyFile();
  const fs::path path = file && random_.OneIn(2) ? *file : AnyDirectory();
  const timespec time{static_cast<time_t>(random_.Below(4'000'000'000)), 123456789};
  const timespec times[] = {time, time};
  ::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW);
}

}  // namespace mica::guest::testing
