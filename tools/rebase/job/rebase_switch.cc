// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/rebase_switch.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <string>

#include "engine/async/sync_wait.h"
#include "formats/open_chain.h"
#include "formats/parent_path.h"
#include "tools/rebase/job/generations.h"
#include "tools/rebase/job/rebase_lock.h"

namespace mica::rebase {

namespace {

using std::filesystem::path;

constexpr mode_t kPrivate = 0700;  // of VM.rescue

path WithSuffix(path file, std::string_view suffix) {
  file += suffix;
  return file;
}

// The number that a rescued file's name starts with; 0 for other names.
size_t NumberOf(const path& file) {
  const std::string name = file.filename().string();
  size_t number = 0;
  std::from_chars(name.data(), name.data() + name.size(), number);
  return number;
}

// Regular files only: the builder is not trusted to have made nothing else.
Result<std::vector<path>> FilesIn(const path& folder) {
  std::vector<path> files;
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(folder, failed)) {
    if (entry.symlink_status(failed).type() == std::filesystem::file_type::regular) {
      files.push_back(entry.path());
    }
  }
  if (failed && failed != std::errc::no_such_file_or_directory) {
    return ErrnoError(failed.value(), "list " + folder.string());
  }
  std::ranges::sort(files);
  return files;
}

// Nobody rebases the VM meanwhile.
Result<RollbackOutcome> RollBackLocked(Host& host, const path& vm) {
  EventLoop& loop = host.loop();
  ASSIGN(const path backup, SyncWait(loop, LastBackup(host, vm)));
  // Both are opened: the current one to be sure that nobody uses it, the kept one to be sure that
  // it is whole and its old master is still there. The locks are held until the names have changed.
  OpenChainOptions open;
  ASSIGN(const std::unique_ptr<ImageChain> current, SyncWait(loop, OpenChain(host, vm, open)));
  ASSIGN(const std::unique_ptr<ImageChain> kept, SyncWait(loop, OpenChain(host, backup, open)));
  ASSIGN(const RolledBack names, SyncWait(loop, RollBack(host, vm)));
  TRY(SyncWait(loop, current->Close()));
  TRY(SyncWait(loop, kept->Close()));
  return RollbackOutcome{names.restored_from, names.undone};
}

}  // namespace

RebaseSwitch::RebaseSwitch(Host& host, SwitchRequest request)
    : host_(host), request_(std::move(request)) {}

path RebaseSwitch::Destination() const {
  return request_.output.value_or(request_.vm);
}

path RebaseSwitch::RescueFolder() const {
  return WithSuffix(Destination(), ".rescue");
}

path RebaseSwitch::ResultName(BuildVerdict verdict) const {
  if (request_.output || verdict == BuildVerdict::kGood) return Destination();
  return WithSuffix(request_.vm, ".quarantine");
}

Result<std::unique_ptr<RebaseSwitch>> RebaseSwitch::Open(Host& host, const SwitchRequest& request) {
  std::unique_ptr<RebaseSwitch> opened(new RebaseSwitch(host, request));
  TRY(SyncWait(host.loop(), host.Stat(request.vm)));  // before anything is made beside it
  // The lock first: what is opened then is what the name means until the lock is let go.
  ASSIGN(opened->work_, RebaseWork::Open(host, opened->Destination()));
  if (request.output) {
    const Result<FileStat> there = SyncWait(host.loop(), host.Stat(*request.output));
    if (there) {
      return Error{Errc::kExists, fmt::format("{}: expected a new name for the rebased delta, "
                                              "found a file; remove it or choose another",
                                              request.output->string())};
    }
  } else {
    ASSIGN(opened->staged_, SyncWait(host.loop(), LastStaged(host, request.vm)));
  }
  TRY(opened->ChooseNames());
  return opened;
}

// A staged delta that does not fit is of no use; it goes when the rebase has succeeded.
Result<void> RebaseSwitch::TakeVm() {
  const DiskState now{request_.vm, std::nullopt};
  ASSIGN(images_, SyncWait(host_.loop(), OpenImages(host_, now, request_.target)));
  if (staged_ && !CheckStaged(host_, images_, *staged_)) staged_.reset();
  return staged_ ? work_->TakeDelta(staged_->delta) : work_->MakeDelta(images_);
}

Result<void> RebaseSwitch::StartOver() {
  staged_.reset();
  return work_->MakeDelta(images_);
}

Result<void> RebaseSwitch::ChooseNames() {
  if (!request_.output) {
    ASSIGN(kept_, SyncWait(host_.loop(), NextBackup(host_, request_.vm)));
  }
  ASSIGN(const std::vector<path> rescued, FilesIn(RescueFolder()));
  for (const path& file : rescued) rescue_number_ = std::max(rescue_number_, NumberOf(file) + 1);
  return {};
}

Result<void> RebaseSwitch::PublishRescues() {
  ASSIGN(const std::vector<path> files, FilesIn(work() / "rescue"));
  if (files.empty()) return {};
  const path folder = RescueFolder();
  if (::mkdir(folder.c_str(), kPrivate) != 0 && errno != EEXIST) {
    return ErrnoError(errno, "create directory " + folder.string());
  }
  for (const path& file : files) {
    const path name = folder / file.filename();
    if (::renameat2(AT_FDCWD, file.c_str(), AT_FDCWD, name.c_str(), RENAME_NOREPLACE) != 0) {
      return ErrnoError(errno, "keep " + name.string());
    }
  }
  TRY(SyncWait(host_.loop(), host_.SyncDirectory(folder)));
  return SyncWait(host_.loop(), host_.SyncDirectory(DirectoryOf(folder)));
}

Result<void> RebaseSwitch::PublishReport() {
  const path written = work() / "report.jsonl";
  if (::rename(written.c_str(), request_.report.c_str()) == 0) {
    return SyncWait(host_.loop(), host_.SyncDirectory(DirectoryOf(request_.report)));
  }
  if (errno != EXDEV) return ErrnoError(errno, "write " + request_.report.string());
  // On another file system: complete or not at all there as well.
  const path copy = WithSuffix(request_.report, ".new");
  std::error_code failed;
  std::filesystem::copy_file(written, copy, std::filesystem::copy_options::overwrite_existing,
                             failed);
  if (failed) return ErrnoError(failed.value(), "write " + copy.string());
  const UniqueFd fd(::open(copy.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) return ErrnoError(errno, "sync " + copy.string());
  TRY(SyncWait(host_.loop(), host_.Rename(copy, request_.report)));
  return SyncWait(host_.loop(), host_.SyncDirectory(DirectoryOf(request_.report)));
}

Result<void> RebaseSwitch::Publish(BuildVerdict verdict) {
  EventLoop& loop = host_.loop();
  TRY(PublishRescues());
  TRY(PublishReport());
  if (verdict == BuildVerdict::kBlocked) return {};
  // Whoever runs the VM has to be able to open its new delta.
  TRY(work_->MakeLike(request_.vm));
  if (verdict == BuildVerdict::kGood && !request_.output) {
    ASSIGN(kept_, SyncWait(loop, SwitchTo(host_, request_.vm, delta())));
    return {};
  }
  return work_->NameDelta(ResultName(verdict));
}

Result<RollbackOutcome> RunRollback(Host& host, const path& vm) {
  EventLoop& loop = host.loop();
  TRY(SyncWait(loop, host.Stat(vm)));
  const path work = RebaseFolder(vm);
  ASSIGN(const UniqueFd no_rebase, LockRebase(loop, work));
  const Result<RollbackOutcome> outcome = RollBackLocked(host, vm);
  ::rmdir(work.c_str());  // it stays when an interrupted rebase left something in it
  return outcome;
}

}  // namespace mica::rebase
