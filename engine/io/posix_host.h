// SPDX-License-Identifier: Apache-2.0
// PosixHost: the host seam over Linux. Bytes move through an I/O engine; open, rename, remove, stat
// and directory sync block the thread. Most programs get one, with its loop, from runtime.h.
#pragma once

#include "engine/io/host.h"
#include "engine/io/io_op.h"

namespace mica {

// Locks are open-file-description locks on the whole file (F_OFD_SETLK): shared is a read lock,
// exclusive a write lock, and the file must be open for what it locks.
class PosixHost final : public Host {
 public:
  // Which engine serves files opened with direct I/O and which the others. Both, and the loop, must
  // outlive the host and its files.
  struct Engines {
    IoEngine& direct;
    IoEngine& buffered;
  };
  PosixHost(EventLoop& loop, Engines engines) : loop_(loop), engines_(engines) {}

  [[nodiscard]] EventLoop& loop() noexcept override { return loop_; }
  // Waits up to a second for a lock before it is kBusy.
  Async<std::unique_ptr<BlockFile>> Open(const std::filesystem::path& path,
                                         const OpenOptions& options) override;
  Async<std::unique_ptr<BlockFile>> CreateExclusive(const std::filesystem::path& path,
                                                    const OpenOptions& options) override;
  Async<FileStat> Stat(const std::filesystem::path& path) override;
  [[nodiscard]] Result<HostSpace> Space(const std::filesystem::path& path) override;
  Async<void> Rename(const std::filesystem::path& from, const std::filesystem::path& to) override;
  Async<void> Link(const std::filesystem::path& existing,
                   const std::filesystem::path& name) override;
  Async<void> Remove(const std::filesystem::path& path) override;
  Async<void> SyncDirectory(const std::filesystem::path& directory) override;

 private:
  Result<std::unique_ptr<BlockFile>> OpenNow(const std::string& path, int flags,
                                             const OpenOptions& options);

  EventLoop& loop_;
  Engines engines_;
};

}  // namespace mica
