// SPDX-License-Identifier: Apache-2.0
// What the suites of the host seam share: every host and I/O engine, buffered and direct, behind
// one value parameter. A new engine is one line in kEveryHost.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/async/event_loop.h"
#include "engine/io/host.h"
#include "engine/io/runtime.h"

namespace mica {

struct HostCase {
  const char* name;
  bool memory;
  IoEngineKind engine;  // when not memory
  bool direct;
  bool delays = false;  // memory only: calls complete later and out of order
};

inline constexpr HostCase kEveryHost[] = {
    {"memory", true, IoEngineKind::kAuto, false},
    {"memory_direct", true, IoEngineKind::kAuto, true},
    {"memory_delays", true, IoEngineKind::kAuto, true, true},
    {"pread", false, IoEngineKind::kPread, false},
    {"pread_direct", false, IoEngineKind::kPread, true},
    {"blocking", false, IoEngineKind::kBlocking, false},
    {"aio", false, IoEngineKind::kAio, false},
    {"aio_direct", false, IoEngineKind::kAio, true},
    {"uring", false, IoEngineKind::kUring, false},
    {"uring_direct", false, IoEngineKind::kUring, true},
};

// A loop, a host and an empty directory on it. Files must be gone before it is.
class HostWorld {
 public:
  virtual ~HostWorld() = default;
  [[nodiscard]] virtual EventLoop& loop() = 0;
  [[nodiscard]] virtual Host& host() = 0;
  [[nodiscard]] virtual std::filesystem::path directory() const = 0;
};

// kUnsupported when the engine does not work on this machine.
Result<std::unique_ptr<HostWorld>> MakeHostWorld(const HostCase& host_case);

// Skips its tests, saying why, where the engine does not work.
class HostSuite : public ::testing::TestWithParam<HostCase> {
 protected:
  void SetUp() override;

  [[nodiscard]] EventLoop& loop() { return world_->loop(); }
  [[nodiscard]] Host& host() { return world_->host(); }
  [[nodiscard]] std::filesystem::path Path(const std::string& name) const {
    return world_->directory() / name;
  }
  [[nodiscard]] OpenOptions Options(FileLock lock = FileLock::kNone) const;
  std::unique_ptr<BlockFile> Create(const std::string& name);
  std::vector<std::byte> ReadAll(BlockFile& file);

 private:
  std::unique_ptr<HostWorld> world_;
};

inline std::string HostCaseName(const ::testing::TestParamInfo<HostCase>& info) {
  return info.param.name;
}

}  // namespace mica
