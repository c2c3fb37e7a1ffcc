// SPDX-License-Identifier: Apache-2.0
// One open file of a MemoryHost. Internal to engine/io.
#pragma once

#include <memory>
#include <string>

#include "engine/io/memory_host.h"

namespace mica {

class MemoryFile final : public BlockFile {
 public:
  // The caller has taken the lock; it is released with this object.
  MemoryFile(MemoryHost& host, std::string path, std::shared_ptr<SimulatedFile> file,
             const OpenOptions& options);
  ~MemoryFile() override;

  [[nodiscard]] const FileLimits& limits() const noexcept override { return limits_; }
  Async<uint64_t> Size() override;
  Async<void> Read(uint64_t offset, Bytes buffer) override;
  Async<void> Write(uint64_t offset, ConstBytes buffer) override;
  Async<void> WriteZeroes(ByteRange range, ZeroMode mode) override;
  Async<void> Allocate(ByteRange range) override;
  Async<void> Sync() override;
  Async<void> Resize(uint64_t size) override;

 private:
  Async<void> Change(HostCall call, ConstBytes data);
  SimulatedFile::Change Apply(const HostCall& call, ByteRange part, ConstBytes data);
  Async<void> FinishChange(HostCall call, uint64_t change_id);
  [[nodiscard]] Result<void> CheckChange(const HostCall& call) const;

  MemoryHost& host_;
  const std::string path_;
  const std::shared_ptr<SimulatedFile> file_;
  const OpenOptions options_;
  FileLimits limits_;
  uint64_t failed_syncs_seen_;  // a later failure makes every Sync through this object fail
  uint64_t in_flight_ = 0;
};

}  // namespace mica
