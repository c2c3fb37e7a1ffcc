// SPDX-License-Identifier: Apache-2.0
#include "bench/bench_rebase_tree.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "engine/base/prng.h"
#include "engine/base/unique_fd.h"

namespace mica::bench {

namespace fs = std::filesystem;

namespace {

constexpr uint64_t kFilesPerDirectory = 30;
constexpr uint64_t kLargeFileBytes = uint64_t{64} << 20;

bool WriteFile(const fs::path& path, uint64_t bytes, Prng& random) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd) return false;
  std::string piece;
  while (bytes != 0) {
    piece.resize(std::min<uint64_t>(bytes, 1 << 20));
    for (size_t i = 0; i + 8 <= piece.size(); i += 8) {
      const uint64_t word = random.Next();
      std::memcpy(piece.data() + i, &word, sizeof word);
    }
    if (::write(fd.get(), piece.data(), piece.size()) != static_cast<ssize_t>(piece.size())) {
      return false;
    }
    bytes -= piece.size();
  }
  return true;
}

uint64_t SomeSize(Prng& random) {
  return 1024 + random.Below(14 * 1024);
}

class Changer {
 public:
  // Seeds one apart edit different large files in place: both editing one would be a conflict,
  // which copies it whole.
  Changer(const fs::path& root, uint64_t seed)
      : root_(root), large_(root / (seed % 2 == 0 ? "large-0" : "large-1")), random_(seed) {
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      if (entry.path().filename() == "lost+found") continue;
      if (entry.is_symlink()) continue;
      if (entry.is_directory()) directories_.push_back(entry.path());
      if (entry.is_regular_file() && !IsLarge(entry.path())) files_.push_back(entry.path());
    }
    // The order of a directory is the file system's: the same changes need our own.
    std::ranges::sort(files_);
    std::ranges::sort(directories_);
  }

  bool Change() {
    switch (random_.Below(12)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return WriteFile(NewPath(), SomeSize(random_), random_);
      case 4:
        return Replace(AnyFile());
      case 5:
        return EditInPlace();
      case 6:
        return Rename(AnyFile());
      case 7:
        return random_.OneIn(4) ? Rename(AnyDirectory()) : SaveByRename();
      case 8:
        return Succeeded(::unlink(AnyFile().c_str()));
      case 9:
        return Succeeded(::link(AnyFile().c_str(), NewPath().c_str()));
      case 10:
        return Succeeded(::chmod(AnyFile().c_str(), 0600));
      default:
        return Succeeded(::setxattr(AnyFile().c_str(), "user.bench", "value", 5, 0));
    }
  }

 private:
  static bool IsLarge(const fs::path& path) {
    return path.filename() == "large-0" || path.filename() == "large-1";
  }

  // A path that an earlier change took away is no failure.
  static bool Succeeded(int outcome) { return outcome == 0 || errno == ENOENT || errno == EINVAL; }

  fs::path AnyFile() { return files_[random_.Below(files_.size())]; }
  fs::path AnyDirectory() { return directories_[random_.Below(directories_.size())]; }
  fs::path NewPath() {
    fs::path directory = AnyDirectory();
    if (!fs::exists(directory)) directory = root_;
    return directory / fmt::format("new-{:016x}", random_.Next());
  }

  // Its directory may have been moved by an earlier change.
  bool Replace(const fs::path& path) {
    return !fs::exists(path.parent_path()) || WriteFile(path, SomeSize(random_), random_);
  }

  bool EditInPlace() {
    const fs::path path = random_.OneIn(2) ? large_ : AnyFile();
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd) return true;
    struct stat status{};
    if (::fstat(fd.get(), &status) != 0 || status.st_size == 0) return true;
    const auto at = static_cast<off_t>(random_.Below(static_cast<uint64_t>(status.st_size)));
    const std::string text(512, 'e');
    return ::pwrite(fd.get(), text.data(), text.size(), at) > 0;
  }

  bool SaveByRename() {
    const fs::path path = AnyFile();
    if (!fs::exists(path)) return true;
    const fs::path temporary = path.string() + ".tmp";
    return WriteFile(temporary, SomeSize(random_), random_) &&
           Succeeded(::rename(temporary.c_str(), path.c_str()));
  }

  bool Rename(const fs::path& path) { return Succeeded(::rename(path.c_str(), NewPath().c_str())); }

  fs::path root_;
  fs::path large_;
  Prng random_;
  std::vector<fs::path> files_;
  std::vector<fs::path> directories_;
};

}  // namespace

bool MakeTree(const fs::path& root, uint64_t files, uint64_t seed) {
  Prng random(seed);
  for (uint64_t i = 0; i < files; ++i) {
    fs::path directory = root;
    if (i % 20 == 0) {
      directory /= "crowded";
    } else if (i % 10 == 1) {
      directory /= "more crowded";
    } else {
      const uint64_t number = i / kFilesPerDirectory;
      directory /= fmt::format("part-{}/section-{}/{}", number % 10, number / 10 % 40, number);
    }
    std::error_code error;
    fs::create_directories(directory, error);
    if (!WriteFile(directory / fmt::format("file-{}.dat", i), SomeSize(random), random)) {
      return false;
    }
  }
  return WriteFile(root / "large-0", kLargeFileBytes, random) &&
         WriteFile(root / "large-1", kLargeFileBytes, random);
}

bool ChangeTree(const fs::path& root, uint64_t count, uint64_t seed) {
  Changer changer(root, seed);
  for (uint64_t i = 0; i < count; ++i) {
    if (!changer.Change()) return false;
  }
  return true;
}

}  // namespace mica::bench
