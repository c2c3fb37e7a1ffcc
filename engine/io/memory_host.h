// SPDX-License-Identifier: Apache-2.0
// MemoryHost: the host seam over a simulated disk, on any event loop. Calls complete within the
// call unless the fault plan delays them. Directories exist without being made.
//
//   MemoryLoop loop;
//   MemoryHost host(loop);
//   host.faults().SetChangeHook([&](const HostCall&) {
//     auto image = host.CrashImage(PowerCutPolicy::FromSeed(seed++));
//     ... reopen on *image and check ...
//   });
#pragma once

#include <filesystem>
#include <memory>

#include "engine/io/fault_plan.h"
#include "engine/io/host.h"
#include "engine/io/simulated_disk.h"

namespace mica {

struct MemoryHostOptions {
  // What a file opened with `direct` asks for in limits(); nothing is refused.
  uint32_t direct_request_alignment = 4096;
};

// Must outlive its files.
class MemoryHost final : public Host {
 public:
  explicit MemoryHost(EventLoop& loop, MemoryHostOptions options = {});
  MemoryHost(EventLoop& loop, MemoryHostOptions options, SimulatedDisk disk);

  [[nodiscard]] EventLoop& loop() noexcept override { return loop_; }
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

  [[nodiscard]] FaultPlan& faults() noexcept { return faults_; }
  [[nodiscard]] SimulatedDisk& disk() noexcept { return disk_; }

  // A new host, on the same loop and without faults, that holds what the disk could hold after a
  // power cut at this moment. This host goes on undisturbed.
  [[nodiscard]] std::unique_ptr<MemoryHost> CrashImage(const PowerCutPolicy& policy) const;

  // The whole of a file as readers see it now; kNotFound. For tests.
  [[nodiscard]] Result<std::vector<std::byte>> Content(const std::filesystem::path& path) const;

 private:
  friend class MemoryFile;

  Task<void> Delay();
  // Numbers and delays a call on names, and says whether it may act.
  Async<HostCall> Enter(HostCallKind kind, const std::string& name);
  Result<std::unique_ptr<BlockFile>> Attach(const HostCall& call,
                                            std::shared_ptr<SimulatedFile> file,
                                            const OpenOptions& options);

  EventLoop& loop_;
  MemoryHostOptions options_;
  SimulatedDisk disk_;
  FaultPlan faults_;
  int64_t change_clock_ns_ = 0;  // advances with every change, so that modification times differ
};

}  // namespace mica
