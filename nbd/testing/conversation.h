// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "engine/async/memory_loop.h"
#include "nbd/server_context.h"
#include "nbd/testing/memory_device.h"
#include "nbd/testing/transcript.h"

namespace mica::nbd {

// Remembers what was logged; look at it when nobody logs any more.
class MemoryLog final : public EventLog {
 public:
  using EventLog::Write;
  void Write(const Event& event) override {
    if (event.severity == Severity::kDebug) return;
    const std::lock_guard lock(mutex_);
    lines.push_back(TextOf(event));
  }
  [[nodiscard]] bool Mentions(std::string_view text) const;
  std::vector<std::string> lines;

 private:
  std::mutex mutex_;
};

// One server without sockets, with one 64 MiB export "disk", on a loop without a kernel.
class Conversation {
 public:
  static constexpr uint64_t kDiskBytes = 64u << 20;

  explicit Conversation(const ServerOptions& options = {}, const DeviceInfo& info = DefaultInfo());

  // A client sends all of `script`, says that it will send no more, and reads to the end of what
  // the server answers. `receive_max` bounds what the server gets in one receive.
  std::vector<std::byte> Hold(const ClientScript& script, size_t receive_max = SIZE_MAX);
  // The same, ready to be taken apart.
  ServerScript Answers(const ClientScript& script, size_t receive_max = SIZE_MAX) {
    return ServerScript(Hold(script, receive_max));
  }

  static DeviceInfo DefaultInfo() { return {.size = kDiskBytes}; }

  MemoryLoop loop;
  ServerOptions options;
  MemoryDevice device;
  ExportTable exports;
  BufferPool buffers{8u << 20};
  MemoryLog log;
  MemoryBudget memory{options.limits.server_in_flight_bytes_max};
  LoopBudget loop_memory{loop, memory, options.limits.export_in_flight_bytes_max, [] {}};
  ServerContext context{loop, options, exports, buffers, loop_memory, log};
};

}  // namespace mica::nbd
