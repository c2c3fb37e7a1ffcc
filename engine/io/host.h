// SPDX-License-Identifier: Apache-2.0
// Host: the only door to the host's file system. PosixHost (posix_host.h) is the real one;
// MemoryHost (memory_host.h) is its twin for tests, which can cut the power, lose, tear and reorder
// unsynced writes and fail any call.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "engine/async/event_loop.h"
#include "engine/io/block_file.h"

namespace mica {

enum class FileLock : uint8_t { kNone, kShared, kExclusive };

struct OpenOptions {
  bool writable = false;
  bool direct = false;  // bypass the host's page cache where the file system allows it
  // Taken before Open returns and held until the file is destroyed; other processes and other opens
  // in this process conflict alike. kBusy when somebody else holds it.
  FileLock lock = FileLock::kNone;
};

// Tells files apart while they exist, whatever they are called.
struct FileId {
  uint64_t device = 0;
  uint64_t inode = 0;
  friend auto operator<=>(const FileId&, const FileId&) = default;
};

struct FileStat {
  FileId id;
  uint64_t size = 0;             // bytes; the device size for a block device
  uint64_t allocated_bytes = 0;  // on the host
  int64_t modified_ns = 0;       // mtime, nanoseconds since the epoch
  bool is_block_device = false;
};

// Of a file system, as whoever is not root sees it.
struct HostSpace {
  uint64_t total_bytes = 0;
  uint64_t available_bytes = 0;
  uint64_t file_system = 0;  // the same number for paths on the same one
};

// Calls may block the thread for as long as the host's file system takes (open, rename and
// directory sync have no asynchronous form). Errors name the path.
class Host {
 public:
  Host() = default;
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;
  virtual ~Host() = default;

  [[nodiscard]] virtual EventLoop& loop() noexcept = 0;

  // kNotFound, kBusy (locked by somebody else), kReadOnly, kInvalidArgument (a directory, …).
  virtual Async<std::unique_ptr<BlockFile>> Open(const std::filesystem::path& path,
                                                 const OpenOptions& options) = 0;
  // A new, empty file; kExists when there is anything under that name.
  virtual Async<std::unique_ptr<BlockFile>> CreateExclusive(const std::filesystem::path& path,
                                                            const OpenOptions& options) = 0;
  virtual Async<FileStat> Stat(const std::filesystem::path& path) = 0;

  // Of the file system that `path` is on.
  [[nodiscard]] virtual Result<HostSpace> Space(const std::filesystem::path& path) = 0;

  // Atomically replaces whatever `to` names. Durable after SyncDirectory of the parent directory.
  virtual Async<void> Rename(const std::filesystem::path& from,
                             const std::filesystem::path& to) = 0;
  // A second name for an existing file; kExists when there is anything under the new name. Durable
  // after SyncDirectory.
  virtual Async<void> Link(const std::filesystem::path& existing,
                           const std::filesystem::path& name) = 0;
  virtual Async<void> Remove(const std::filesystem::path& path) = 0;
  virtual Async<void> SyncDirectory(const std::filesystem::path& directory) = 0;
};

}  // namespace mica
