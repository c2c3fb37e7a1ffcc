// SPDX-License-Identifier: Apache-2.0
#include "engine/io/memory_host.h"

#include <fmt/format.h>

#include <bit>
#include <cerrno>

#include "engine/io/memory_file.h"

namespace mica {

MemoryHost::MemoryHost(EventLoop& loop, MemoryHostOptions options)
    : loop_(loop), options_(options) {}

MemoryHost::MemoryHost(EventLoop& loop, MemoryHostOptions options, SimulatedDisk disk)
    : loop_(loop), options_(options), disk_(std::move(disk)) {}

std::unique_ptr<MemoryHost> MemoryHost::CrashImage(const PowerCutPolicy& policy) const {
  auto image = std::make_unique<MemoryHost>(loop_, options_, disk_.AfterPowerCut(policy));
  image->change_clock_ns_ = change_clock_ns_;
  return image;
}

Result<std::vector<std::byte>> MemoryHost::Content(const std::filesystem::path& path) const {
  const std::shared_ptr<SimulatedFile> file = disk_.Find(DiskName(path));
  if (file == nullptr) return ErrnoError(ENOENT, path.string());
  std::vector<std::byte> bytes(file->content().size());
  file->content().Read(0, bytes);
  return bytes;
}

Task<void> MemoryHost::Delay() {
  for (uint64_t turns = faults_.DelayTurns(); turns > 0; --turns) co_await loop_.Yield();
}

Async<HostCall> MemoryHost::Enter(HostCallKind kind, const std::string& name) {
  const HostCall call = faults_.Begin(kind, name, {});
  if (faults_.delays()) co_await Delay();
  if (const std::optional<Fault> fault = faults_.FaultFor(call)) {
    co_return InjectedError(call, *fault);
  }
  co_return call;
}

Result<std::unique_ptr<BlockFile>> MemoryHost::Attach(const HostCall& call,
                                                      std::shared_ptr<SimulatedFile> file,
                                                      const OpenOptions& options) {
  const bool conflict =
      (options.lock == FileLock::kShared && file->exclusive_lock) ||
      (options.lock == FileLock::kExclusive && (file->exclusive_lock || file->shared_locks > 0));
  if (conflict) {
    return Error{Errc::kBusy, fmt::format("{} {}: locked by another user of the file",
                                          HostCallName(call.kind), call.path)};
  }
  if (options.lock == FileLock::kShared) ++file->shared_locks;
  if (options.lock == FileLock::kExclusive) file->exclusive_lock = true;
  return std::make_unique<MemoryFile>(*this, std::string(call.path), std::move(file), options);
}

Async<std::unique_ptr<BlockFile>> MemoryHost::Open(const std::filesystem::path& path,
                                                   const OpenOptions& options) {
  const OpenOptions chosen = options;  // the caller's may be gone after a delay
  const std::string name = DiskName(path);
  CO_ASSIGN(const HostCall call, co_await Enter(HostCallKind::kOpen, name));
  std::shared_ptr<SimulatedFile> file = disk_.Find(name);
  if (file == nullptr && disk_.IsDirectory(name)) {
    co_return Error{Errc::kInvalidArgument, EISDIR, fmt::format("open {}: is a directory", name)};
  }
  if (file == nullptr) co_return ErrnoError(ENOENT, "open " + name);
  co_return Attach(call, std::move(file), chosen);
}

Async<std::unique_ptr<BlockFile>> MemoryHost::CreateExclusive(const std::filesystem::path& path,
                                                              const OpenOptions& options) {
  OpenOptions chosen = options;
  chosen.writable = true;
  const std::string name = DiskName(path);
  CO_ASSIGN(const HostCall call, co_await Enter(HostCallKind::kCreate, name));
  if (disk_.Find(name) != nullptr || disk_.IsDirectory(name)) {
    co_return ErrnoError(EEXIST, "create " + name);
  }
  std::shared_ptr<SimulatedFile> file = disk_.Create(name);
  file->modified_ns = ++change_clock_ns_;
  Result<std::unique_ptr<BlockFile>> opened = Attach(call, std::move(file), chosen);
  faults_.Changed(call);
  co_return opened;
}

Async<FileStat> MemoryHost::Stat(const std::filesystem::path& path) {
  const std::string name = DiskName(path);
  CO_TRY(co_await Enter(HostCallKind::kStat, name));
  const std::shared_ptr<SimulatedFile> file = disk_.Find(name);
  if (file == nullptr) co_return ErrnoError(ENOENT, "stat " + name);
  FileStat stat;
  stat.id.inode = std::bit_cast<uintptr_t>(file.get());
  stat.size = file->content().size();
  stat.allocated_bytes = file->content().allocated_pages() * PagedContent::kPageBytes;
  stat.modified_ns = file->modified_ns;
  co_return stat;
}

Result<HostSpace> MemoryHost::Space(const std::filesystem::path& path) {
  const std::string name = DiskName(path);
  if (disk_.Find(name) == nullptr && !disk_.IsDirectory(name)) {
    return ErrnoError(ENOENT, "space of " + name);
  }
  HostSpace space;
  space.available_bytes = disk_.free_bytes();
  space.total_bytes = disk_.used_bytes() + space.available_bytes;
  return space;
}

Async<void> MemoryHost::Rename(const std::filesystem::path& from, const std::filesystem::path& to) {
  const std::string old_name = DiskName(from);
  const std::string new_name = DiskName(to);
  CO_ASSIGN(const HostCall call, co_await Enter(HostCallKind::kRename, old_name));
  if (disk_.Find(old_name) == nullptr) co_return ErrnoError(ENOENT, "rename " + old_name);
  if (disk_.IsDirectory(new_name)) {
    co_return Error{Errc::kInvalidArgument, EISDIR,
                    fmt::format("rename {} to {}: is a directory", old_name, new_name)};
  }
  disk_.Rename(old_name, new_name);
  faults_.Changed(call);
  co_return Result<void>();
}

Async<void> MemoryHost::Link(const std::filesystem::path& existing,
                             const std::filesystem::path& path) {
  const std::string old_name = DiskName(existing);
  const std::string name = DiskName(path);
  CO_ASSIGN(const HostCall call, co_await Enter(HostCallKind::kLink, old_name));
  if (disk_.Find(old_name) == nullptr) co_return ErrnoError(ENOENT, "link " + old_name);
  if (disk_.Find(name) != nullptr || disk_.IsDirectory(name)) {
    co_return ErrnoError(EEXIST, "link " + old_name + " as " + name);
  }
  disk_.Link(old_name, name);
  faults_.Changed(call);
  co_return Result<void>();
}

Async<void> MemoryHost::Remove(const std::filesystem::path& path) {
  const std::string name = DiskName(path);
  CO_ASSIGN(const HostCall call, co_await Enter(HostCallKind::kRemove, name));
  if (disk_.Find(name) == nullptr) co_return ErrnoError(ENOENT, "remove " + name);
  disk_.Remove(name);
  faults_.Changed(call);
  co_return Result<void>();
}

Async<void> MemoryHost::SyncDirectory(const std::filesystem::path& directory) {
  const std::string name = DiskName(directory);
  CO_ASSIGN(const HostCall call, co_await Enter(HostCallKind::kSyncDirectory, name));
  disk_.SyncDirectory(name);
  faults_.Changed(call);
  co_return Result<void>();
}

}  // namespace mica
