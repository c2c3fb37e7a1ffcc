// SPDX-License-Identifier: Apache-2.0
// Runtime: an event loop and the host that goes with it, for one thread.
#pragma once

#include <memory>
#include <string_view>

#include "engine/io/host.h"

namespace mica {

enum class IoEngineKind : uint8_t {
  kAuto,      // the first of the following that works here
  kUring,     // io_uring
  kAio,       // libaio for direct I/O, threads for the rest
  kPread,     // threads
  kBlocking,  // the loop's own thread; never chosen by kAuto
};

// Made and used on one thread. Files and tasks must be gone before it is destroyed.
class Runtime {
 public:
  Runtime() = default;
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;
  virtual ~Runtime() = default;

  [[nodiscard]] virtual EventLoop& loop() noexcept = 0;
  [[nodiscard]] virtual Host& host() noexcept = 0;
  // What was chosen; never kAuto.
  [[nodiscard]] virtual IoEngineKind engine() const noexcept = 0;
};

// kUnsupported, with the reason, when the named engine does not work here.
Result<std::unique_ptr<Runtime>> MakePosixRuntime(IoEngineKind kind);

// "auto", "uring", "aio", "pread", "blocking": the values of --io.
std::string_view IoEngineName(IoEngineKind kind) noexcept;
Result<IoEngineKind> ParseIoEngine(std::string_view name);

}  // namespace mica
