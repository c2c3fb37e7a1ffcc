// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/confirm.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "engine/async/sync_wait.h"
#include "formats/open_chain.h"
#include "formats/parent_path.h"
#include "formats/registry.h"
#include "tools/rebase/job/generations.h"
#include "tools/rebase/job/rebase_lock.h"

namespace mica::rebase {

namespace {

using std::filesystem::path;

// The files that the current chain consists of. Without locks: the VM may be running, and must be
// able to start.
Async<std::vector<FileId>> FilesOfChain(Host& host, path vm) {
  OpenChainOptions options;
  options.without_locks = true;
  options.format = "mica";  // a delta whose head is lost must not pass as a raw image
  CO_ASSIGN(const std::unique_ptr<ImageChain> chain, co_await OpenChain(host, vm, options));
  std::vector<FileId> files;
  path file = vm;
  for (size_t depth = 0; depth < chain->depth(); ++depth) {
    CO_ASSIGN(const FileStat stat, co_await host.Stat(file));
    files.push_back(stat.id);
    const std::optional<ParentReference>& parent = chain->layer(depth).info().parent;
    if (parent) file = ResolveParentPath(file, parent->path);
  }
  CO_TRY(co_await chain->Close());
  co_return files;
}

class Confirmation {
 public:
  Confirmation(Host& host, const ConfirmOptions& options, std::vector<FileId> current)
      : host_(host), options_(options), current_(std::move(current)) {}

  Result<void> Consider(const path& file) {
    struct stat status{};
    if (::lstat(file.c_str(), &status) != 0) return ErrnoError(errno, file.string());
    if (!S_ISREG(status.st_mode)) return Leave(file, "it is no regular file", true);
    const FileId id{status.st_dev, status.st_ino};
    if (std::ranges::find(current_, id) != current_.end()) {
      return Leave(file, "the VM uses it: it is another name of its delta or of a parent", true);
    }
    const std::string young = TooYoung(status);
    if (!young.empty()) return Leave(file, young, false);
    return Drop(file, static_cast<uint64_t>(status.st_blocks) * 512);
  }

  ConfirmOutcome outcome() && { return std::move(outcome_); }

 private:
  Result<void> Leave(const path& file, std::string why, bool refused) {
    outcome_.left.push_back({file, std::move(why), refused});
    return {};
  }

  // The switch gave it its name, which changed its ctime. Whatever has changed that since (a copy
  // from a backup, chmod) makes it stay longer.
  [[nodiscard]] std::string TooYoung(const struct stat& status) const {
    if (!options_.older_than) return {};
    const auto replaced = std::chrono::system_clock::from_time_t(status.st_ctim.tv_sec);
    const auto age =
        std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now() - replaced);
    if (age >= *options_.older_than) return {};
    return fmt::format("it was replaced {} days ago, less than {}", age.count(),
                       options_.older_than->count());
  }

  Result<void> Drop(const path& file, uint64_t bytes) {
    // Held until the name is gone. The layer is only looked at.
    const Result<std::unique_ptr<BlockFile>> locked =
        SyncWait(host_.loop(), host_.Open(file, {.writable = true, .lock = FileLock::kExclusive}));
    if (!locked) return Leave(file, locked.error().message, true);
    ASSIGN(const ImageFormat* const format, FindFormat("mica"));
    LayerOpenOptions open;
    open.lock = FileLock::kNone;
    Result<std::unique_ptr<Layer>> layer = SyncWait(host_.loop(), format->Open(host_, file, open));
    if (!layer) return Leave(file, layer.error().message, true);
    const LayerInfo& info = (*layer)->info();
    if (!info.parent || info.sealed) {
      return Leave(file, info.sealed ? "it is sealed: others may stand on it" : "it is no delta",
                   true);
    }
    const path parent = ResolveParentPath(file, info.parent->path).lexically_normal();
    if (!options_.dry_run) TRY(SyncWait(host_.loop(), DropKept(host_, file)));
    outcome_.dropped.push_back({file, bytes, parent});
    return SyncWait(host_.loop(), (*layer)->Close());
  }

  Host& host_;
  const ConfirmOptions& options_;
  std::vector<FileId> current_;
  ConfirmOutcome outcome_;
};

Result<ConfirmOutcome> ConfirmLocked(Host& host, const path& vm, const ConfirmOptions& options) {
  EventLoop& loop = host.loop();
  ASSIGN(const std::vector<path> kept, SyncWait(loop, KeptDeltas(host, vm)));
  if (kept.empty()) return ConfirmOutcome{};
  Result<std::vector<FileId>> current = SyncWait(loop, FilesOfChain(host, vm));
  if (!current) {
    return std::move(current).error().WithContext(fmt::format(
        "{} cannot be opened as it is now, so nothing that was kept of it is removed (mica "
        "rollback {} gives it its old delta back)",
        vm.string(), vm.string()));
  }
  Confirmation confirmation(host, options, *std::move(current));
  for (const path& file : kept) TRY(confirmation.Consider(file));
  return std::move(confirmation).outcome();
}

}  // namespace

Result<ConfirmOutcome> ConfirmRebase(Host& host, const path& vm, const ConfirmOptions& options) {
  TRY(SyncWait(host.loop(), host.Stat(vm)));
  if (options.dry_run) return ConfirmLocked(host, vm, options);
  const path folder = RebaseFolder(vm);
  ASSIGN(const UniqueFd no_rebase, LockRebase(host.loop(), folder));
  Result<ConfirmOutcome> outcome = ConfirmLocked(host, vm, options);
  ::rmdir(folder.c_str());  // it stays when an interrupted rebase left something in it
  return outcome;
}

}  // namespace mica::rebase
