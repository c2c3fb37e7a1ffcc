// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/rebase_work.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/async/sync_wait.h"
#include "formats/parent_path.h"
#include "tools/rebase/job/rebase_lock.h"

namespace mica::rebase {

using std::filesystem::path;

RebaseWork::RebaseWork(Host& host, const path& destination)
    : host_(host), delta_(destination), folder_(RebaseFolder(destination)) {
  delta_ += ".rebasing";
}

Result<std::unique_ptr<RebaseWork>> RebaseWork::Open(Host& host, const path& destination) {
  std::unique_ptr<RebaseWork> opened(new RebaseWork(host, destination));
  ASSIGN(opened->lock_, LockRebase(host.loop(), opened->folder_));
  TRY(opened->ClearLeftovers());
  return opened;
}

RebaseWork::~RebaseWork() {
  if (!lock_) return;  // nothing of ours is there
  std::error_code ignored;
  std::filesystem::remove(delta_, ignored);
  std::filesystem::remove_all(folder_, ignored);
}

Result<void> RebaseWork::ClearLeftovers() {
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, failed)) {
    std::filesystem::remove_all(entry.path(), failed);
  }
  std::filesystem::remove(delta_, failed);
  if (failed) return ErrnoError(failed.value(), "clear what an interrupted rebase left");
  return {};
}

Result<void> RebaseWork::MakeDelta(const RebaseImages& images) {
  std::error_code failed;
  std::filesystem::remove(delta_, failed);
  if (failed) return ErrnoError(failed.value(), "remove " + delta_.string());
  return SyncWait(host_.loop(), CreateDelta(host_, images, delta_));
}

Result<void> RebaseWork::TakeDelta(const path& name) {
  TRY(SyncWait(host_.loop(), host_.Rename(name, delta_)));
  // Nobody finds it half changed under its old name after a power cut.
  return SyncWait(host_.loop(), host_.SyncDirectory(DirectoryOf(delta_)));
}

Result<void> RebaseWork::MakeLike(const path& vm) {
  struct stat of_vm{};
  if (::stat(vm.c_str(), &of_vm) != 0) return ErrnoError(errno, vm.string());
  const UniqueFd fd(::open(delta_.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return ErrnoError(errno, delta_.string());
  // Only root can give files away; others own the VM's delta or have to live with it.
  if (::fchown(fd.get(), of_vm.st_uid, of_vm.st_gid) != 0 && errno != EPERM) {
    return ErrnoError(errno, delta_.string());
  }
  if (::fchmod(fd.get(), of_vm.st_mode & 0777) != 0 || ::fsync(fd.get()) != 0) {
    return ErrnoError(errno, delta_.string());
  }
  return {};
}

Result<void> RebaseWork::NameDelta(const path& name) {
  TRY(SyncWait(host_.loop(), host_.Rename(delta_, name)));
  return SyncWait(host_.loop(), host_.SyncDirectory(DirectoryOf(name)));
}

}  // namespace mica::rebase
