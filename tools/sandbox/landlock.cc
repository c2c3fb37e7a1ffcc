// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "engine/base/unique_fd.h"
#include "tools/sandbox/sandbox.h"

namespace mica {

namespace {

// Rights that came after the first version of Landlock; older headers lack their names.
constexpr uint64_t kRefer = uint64_t{1} << 13;     // version 2: rename between directories
constexpr uint64_t kTruncate = uint64_t{1} << 14;  // version 3

constexpr uint64_t kReadFile = LANDLOCK_ACCESS_FS_READ_FILE;
constexpr uint64_t kExecuteFile = LANDLOCK_ACCESS_FS_EXECUTE;
constexpr uint64_t kWriteFile = LANDLOCK_ACCESS_FS_WRITE_FILE;
constexpr uint64_t kMakeDevice = LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK;
constexpr uint64_t kChangeDirectory = LANDLOCK_ACCESS_FS_REMOVE_DIR |
                                      LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |
                                      LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
                                      LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM;

// glibc has no wrappers for these.
int CreateRuleset(const landlock_ruleset_attr* attributes, size_t size, uint32_t flags) {
  return static_cast<int>(::syscall(SYS_landlock_create_ruleset, attributes, size, flags));
}

class Ruleset {
 public:
  Ruleset(UniqueFd rules, uint64_t handled) : rules_(std::move(rules)), handled_(handled) {}

  Result<void> Allow(const std::filesystem::path& path, uint64_t rights) const {
    const UniqueFd place(::open(path.c_str(), O_PATH | O_CLOEXEC));
    if (!place) return errno == ENOENT ? Result<void>() : ErrnoError(errno, path.string());
    struct stat found{};
    if (::fstat(place.get(), &found) != 0) return ErrnoError(errno, path.string());
    constexpr uint64_t kOfFiles = kReadFile | kExecuteFile | kWriteFile | kTruncate;
    if (!S_ISDIR(found.st_mode)) rights &= kOfFiles;
    landlock_path_beneath_attr beneath{};
    beneath.allowed_access = rights & handled_;
    beneath.parent_fd = place.get();
    if (beneath.allowed_access == 0) return {};
    if (::syscall(SYS_landlock_add_rule, rules_.get(), LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) ==
        0) {
      return {};
    }
    return ErrnoError(errno, fmt::format("landlock rule for {}", path.string()));
  }

  Result<void> Enforce() const {
    if (::syscall(SYS_landlock_restrict_self, rules_.get(), 0) == 0) return {};
    return ErrnoError(errno, "landlock_restrict_self");
  }

 private:
  UniqueFd rules_;
  uint64_t handled_;
};

}  // namespace

Result<void> AllowOnlyFiles(const FileRights& rights) {
  const int version = CreateRuleset(nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 1) return {};  // no Landlock
  uint64_t handled = kExecuteFile | kMakeDevice;
  if (!rights.write_anywhere) {
    handled |= kWriteFile | kChangeDirectory;
    if (version >= 2) handled |= kRefer;
    if (version >= 3) handled |= kTruncate;
  }
  landlock_ruleset_attr attributes{};
  attributes.handled_access_fs = handled;
  UniqueFd created(CreateRuleset(&attributes, sizeof attributes, 0));
  if (!created) return ErrnoError(errno, "landlock_create_ruleset");
  const Ruleset rules(std::move(created), handled);
  for (const std::filesystem::path& path : rights.execute) TRY(rules.Allow(path, kExecuteFile));
  for (const std::filesystem::path& path : rights.write) {
    TRY(rules.Allow(path, kWriteFile | kChangeDirectory | kRefer | kTruncate));
  }
  return rules.Enforce();
}

}  // namespace mica
