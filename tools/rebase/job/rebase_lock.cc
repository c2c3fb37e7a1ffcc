// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/rebase_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <chrono>

#include "engine/async/sync_wait.h"

namespace mica::rebase {

namespace {

constexpr mode_t kPrivate = 0700;

// A process that was killed lets go of its lock when the kernel has come round to it.
constexpr std::chrono::milliseconds kLockPause{50};
constexpr int kLockTries = 60;

}  // namespace

std::filesystem::path RebaseFolder(std::filesystem::path vm) {
  vm += ".rebasing.d";
  return vm;
}

Result<UniqueFd> LockRebase(EventLoop& loop, const std::filesystem::path& folder) {
  for (int tries = 1;; ++tries) {
    if (::mkdir(folder.c_str(), kPrivate) != 0 && errno != EEXIST) {
      return ErrnoError(errno, "create directory " + folder.string());
    }
    UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd && errno == ENOENT) continue;  // the rebase that had it has just ended
    if (!fd) return ErrnoError(errno, "open " + folder.string());
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (tries < kLockTries) {
        SyncWait(loop, loop.SleepUntil(loop.Now() + kLockPause));
        continue;
      }
      return Error{Errc::kBusy,
                   fmt::format("{} is locked: another rebase, rollback or confirmation of this "
                               "VM is running",
                               folder.string())};
    }
    struct stat found{};
    if (::fstat(fd.get(), &found) != 0) return ErrnoError(errno, "stat " + folder.string());
    if (found.st_nlink != 0) return fd;
  }
}

}  // namespace mica::rebase
